import type { PlaceKind } from '../fleet/place.ts'

/** A fault, as the report shows it. */
export interface Fault {
  /** The name of the fault, for people. */
  readonly fault: string
  /** How it is made. */
  readonly how: string
  /** What must be true after it, besides I1–I8. */
  readonly expected: string
  /** What a place must have. The file of a log or broker says what else it cannot do. */
  readonly needs?: keyof typeof lacks | undefined
  /** The only broker that has it. */
  readonly only?: string | undefined
}

/** Why a place without it cannot have the fault. */
const lacks = {
  server: 'a file has no server that could be away',
  broker: 'there is no broker',
  tickets: 'jobs are taken from the log itself: there is no ticket',
  'no broker': 'the database is what is empty: see PostgreSQL',
} as const

/** Every fault that Errand must survive. */
export const faults = {
  'worker killed': {
    fault: 'worker dies in a handler',
    how: '`kill -9`',
    expected: 'its jobs are `lost`, and run again within the lease and a sweep',
  },
  'dies with a claim': {
    fault: 'worker dies between claim and ack',
    how: 'failpoint after the claim',
    expected: 'its claims are `lost`; a ticket that comes again is refused and acked',
  },
  'dies before the settle': {
    fault: 'worker dies after the effect, before the settle',
    how: 'failpoint before the settle',
    expected: "runs again; with `onCrash: 'fail'` not; with `ctx.complete` the effect is there once",
  },
  'dies after the settle': {
    fault: 'worker dies after the settle, before its reply',
    how: 'failpoint after the settle',
    expected: 'the outcome stands',
  },
  'reply of a settle lost': {
    fault: 'the reply of a settle is lost',
    how: 'proxy: nothing comes back from the log',
    expected: 'asked again, recorded once',
  },
  'frozen past its lease': {
    fault: 'worker frozen past its lease',
    how: '`kill -STOP`, wait, `-CONT`',
    expected: 'the job ran elsewhere; the late settle is `fenced`',
  },
  'event loop blocked': {
    fault: 'event loop blocked for twice the lease',
    how: 'busy loop',
    expected: 'the lease holds (heartbeat thread); the job runs once',
  },
  SIGTERM: {
    fault: 'SIGTERM with running jobs',
    how: '`kill -TERM`',
    expected: 'drained, the rest released at once, exit 0 within the grace',
  },
  'second SIGTERM': {
    fault: 'second SIGTERM',
    how: 'twice',
    expected: 'signals aborted, jobs released, exit 143',
  },
  'out of memory': {
    fault: 'out of memory',
    how: 'heap of 40 MiB',
    expected: 'as a crash; fails after its crashes; no crash loop',
  },
  'unhandled rejection': {
    fault: "unhandled rejection outside the handler's promise",
    how: 'handler',
    expected: 'told loudly, exit non-zero; the job fails after its crashes',
  },
  'never settles': {
    fault: 'handler never settles',
    how: 'a promise that stays open',
    expected: '`ctx.signal`, outcome timeout; the slot is free after the grace',
  },
  'ignores the signal': {
    fault: 'handler ignores the abort signal',
    how: 'loop',
    expected: 'not waited for past its timeout and grace; what it does later does not count',
  },
  'kills its process': {
    fault: 'job that kills its process',
    how: '`process.exit(1)`',
    expected: 'fails after its crashes',
  },
  'connections closed': {
    fault: 'all broker connections closed',
    how: '`rabbitmqctl close_all_connections`; on SQS: cut by the proxy',
    expected: 'workers subscribe again by themselves',
    needs: 'broker',
  },
  'connections torn': {
    fault: 'broker connections torn in the middle of a frame',
    how: 'proxy: cut after some bytes each way, half closed, cut',
    expected: 'workers subscribe again; what was not confirmed is published again',
    needs: 'broker',
  },
  'broker restarted': {
    fault: 'broker restarted',
    how: 'shut down in order, started after 5 s',
    expected: 'dispatch goes on; afterwards workers take again',
    needs: 'broker',
  },
  'broker killed': {
    fault: 'broker killed with -9',
    how: '`kill -9`, started after 5 s',
    expected: 'dispatch goes on; afterwards workers take again',
    needs: 'broker',
  },
  'broker wiped': {
    fault: 'broker wiped with tickets in it',
    how: 'data folder deleted; SQS killed, which forgets everything',
    expected: 'every job still runs',
    needs: 'broker',
  },
  'memory alarm': {
    fault: 'memory alarm',
    how: '`set_vm_memory_high_watermark absolute 1`',
    expected: 'dispatch still commits; workers go on',
    needs: 'broker',
  },
  'queue purged': {
    fault: 'queue purged',
    how: 'the broker’s own tool, with tickets in it',
    expected: 'published again',
    needs: 'broker',
  },
  'queue deleted': {
    fault: 'queue deleted',
    how: 'the broker’s own tool',
    expected: 'declared and published again',
    needs: 'broker',
  },
  'queue with other arguments': {
    fault: 'queue exists with other arguments',
    how: 'declared before as a classic queue',
    expected: 'a clear error naming the argument; other queues live on',
    needs: 'broker',
  },
  unroutable: {
    fault: 'ticket unroutable',
    how: 'queues deleted while no worker runs, then dispatched',
    expected: 'noticed; the job stays ready, and is published again',
    needs: 'broker',
  },
  'confirm lost': {
    fault: 'publish confirm lost',
    how: 'proxy: nothing comes back from the broker',
    expected: 'dispatch goes on; the second ticket is refused',
    needs: 'tickets',
  },
  'tickets repeated': {
    fault: 'every ticket delivered five times, to all workers',
    how: 'published five times at once',
    expected: 'one claim each',
    needs: 'tickets',
  },
  'tickets shuffled': {
    fault: 'tickets in random order',
    how: 'each is published after a random time',
    expected: 'order per key all the same',
    needs: 'tickets',
  },
  'SQS delete fails': {
    fault: 'SQS delete fails; batch half fails',
    how: 'middleware',
    expected: 'late duplicates are refused and deleted',
    needs: 'broker',
    only: 'sqs',
  },
  'SQS throttled': {
    fault: 'SQS throttles, answers 503, does not know the queue',
    how: 'middleware: every request',
    expected: 'backoff, no tight loop, no lost job',
    needs: 'broker',
    only: 'sqs',
  },
  'visibility ends': {
    fault: 'visibility ends while the ticket waits in the buffer',
    how: 'visibility of 1 s, requests that take longer',
    expected: 'one claim each',
    needs: 'broker',
    only: 'sqs',
  },
  'database backends killed': {
    fault: 'database backends killed',
    how: '`pg_terminate_backend` on all of them',
    expected: 'retried; no handler starts without a committed claim',
    needs: 'server',
  },
  'database connections torn': {
    fault: 'database connections torn in the middle of a statement',
    how: 'proxy: cut after some bytes each way, half closed, cut',
    expected: 'asked again; done once',
    needs: 'server',
  },
  'database down': {
    fault: 'database down for a minute',
    how: 'stop immediate, start',
    expected: 'taking pauses, tickets stay, settles are retried',
    needs: 'server',
  },
  'connections forgotten': {
    fault: 'connections silently dead',
    how: 'proxy: forgets them all, tells nobody; to the database, then to the broker; those to SQS end as by TCP keep-alive',
    expected: 'noticed by those who wait; asked again, done once',
    needs: 'server',
  },
  failover: {
    fault: 'failover with connections that live on',
    how: 'a pair: the old server becomes read-only, the name leads to the standby, which is promoted after 3 s',
    expected: 'all connections are thrown away; nothing is lost, and followers miss nothing',
    needs: 'server',
  },
  'failover that lost commits': {
    fault: 'asynchronous failover that lost commits',
    how: 'a pair: replication cut, the primary killed, the standby promoted',
    expected:
      'what was answered in that time is lost, and nothing else; its followers meet an error, never a hole',
    needs: 'server',
  },
  'database locked': {
    fault: 'database locked for 20 s',
    how: '`lock table`; on SQLite a write transaction that stays open',
    expected: 'bounded waits; workers know when their lease is over',
  },
  'database slow': {
    fault: 'database slow',
    how: 'proxy: 200 ms more each way',
    expected: 'slower, and nothing else',
  },
  'eight processes on one file': {
    fault: 'eight processes on one SQLite file',
    how: 'four workers and four dispatchers more',
    expected: 'no lost update, no SQLITE_BUSY for the user',
  },
  'clock off': {
    fault: "worker's clock one hour off",
    how: 'process whose `Date` is an hour ahead, and one an hour behind',
    expected: "no lease early or late: the database's clock alone",
  },
  'malformed ticket': {
    fault: 'malformed ticket',
    how: 'raw publish: not JSON, wrong types, `__proto__`, 1 MB',
    expected: 'set aside with a log line; the subscription lives on',
    needs: 'tickets',
  },
  'foreign ticket': {
    fault: 'ticket of an unknown or foreign job',
    how: 'raw publish',
    expected: 'refused; never runs',
    needs: 'tickets',
  },
  'oversize payload': {
    fault: 'oversize payload (2 MiB, 20 MiB)',
    how: 'dispatch',
    expected: '`E_PAYLOAD_TOO_LARGE` on every driver',
  },
  'unknown job': {
    fault: 'unknown job name; payload of another version',
    how: 'old worker and new job, new worker and old job',
    expected: 'goes back for a worker that knows it; never swallowed',
  },
  backlog: {
    fault: 'backlog',
    how: '20,000 jobs on a queue that nobody serves',
    expected: 'other jobs start as before; a worker that comes begins with the oldest',
  },
  'head fails for good': {
    fault: 'head of an ordering key fails for good',
    how: 'always throws',
    expected: '`block` holds the key until an operator skips it, `skip` goes on',
  },
  'many relays': {
    fault: 'many relays at once',
    how: 'ten workers',
    expected: 'nothing is done twice',
  },
  'empty database': {
    fault: 'ten workers start on an empty database',
    how: 'start',
    expected: 'migrated once, no error',
    needs: 'no broker',
  },
  'killed in a tick': {
    fault: 'worker dies in the tick of a schedule',
    how: '`kill -9`: failpoints before and after its job is stored',
    expected: 'each tick has one job, which runs',
  },
  'database down over ticks': {
    fault: 'database down over ticks of schedules',
    how: 'stop immediate, start a minute after the last of them',
    expected:
      "with `missed: 'last'` the newest missed tick runs, with `'skip'` none; what is left out is counted",
    needs: 'server',
  },
  'killed with a place of a limit': {
    fault: 'worker dies with a place of a limit',
    how: '`kill -9` while the limit is full',
    expected: 'its job keeps the place and runs again, and nobody else gets it',
  },
  'dies before a step is kept': {
    fault: "worker dies between a step's effect and its record",
    how: 'failpoint before the record',
    expected: 'that step acts again, and no other; one in a transaction has its effect once',
  },
  'dies while it adds to a flow': {
    fault: 'worker dies while it adds jobs to a flow',
    how: 'failpoints before and after they are stored',
    expected: 'each is there once, and the flow ends after the last of them',
  },
  'database down over waits': {
    fault: 'database down while jobs are suspended',
    how: 'stop immediate, start after 15 s',
    expected: 'those whose time is over go on, the others still wait; no step acts again',
    needs: 'server',
  },
  'rolling deploy': {
    fault: 'rolling deploy, old and new worker together',
    how: 'two versions; a schema of a newer one',
    expected: 'both run; a wrong schema is refused clearly',
  },
} as const satisfies Readonly<Record<string, Fault>>

export type FaultName = keyof typeof faults

export const faultNames: readonly FaultName[] = Object.keys(faults) as FaultName[]

/** Why the fault cannot happen there; undefined if it can. */
export function notAt(name: FaultName, { log, broker }: PlaceKind): string | undefined {
  const { needs, only }: Fault = faults[name]
  const has = {
    server: log.server !== undefined,
    broker: broker !== undefined,
    tickets: broker !== undefined,
    'no broker': broker === undefined,
  }
  if (needs !== undefined && !has[needs]) return lacks[needs]
  const own = only === broker?.name ? undefined : only
  return log.cannot[name] ?? broker?.cannot[name] ?? (own && `a fault of ${own.toUpperCase()}`)
}
