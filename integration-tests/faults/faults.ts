import type { PlaceName } from '../fleet/places.ts'

/** A fault, as the report shows it. */
export interface Fault {
  /** For people. */
  readonly fault: string
  /** How it is made. */
  readonly how: string
  /** What must come of it, besides I1–I8. */
  readonly expected: string
  /** Where it cannot happen, and why. Everywhere else there is a story of it. */
  readonly not?: Partial<Readonly<Record<PlaceName, string>>>
}

const noTickets = 'jobs are taken from the log itself: there is no ticket'
const noBroker = 'there is no broker'
const onlyRabbitmq = { sqlite: noBroker, postgres: noBroker }
const aFile = { sqlite: 'a file has no server that could be away' }
const withTickets = { sqlite: noTickets, postgres: noTickets }
const onlySqs = { sqlite: noBroker, postgres: noBroker, rabbitmq: 'a fault of SQS' }

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
    not: { sqlite: 'a call into a file has no reply that could be lost' },
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
    not: onlyRabbitmq,
  },
  'connections torn': {
    fault: 'broker connections torn in the middle of a frame',
    how: 'proxy: cut after some bytes each way, half closed, cut',
    expected: 'workers subscribe again; what was not confirmed is published again',
    not: onlyRabbitmq,
  },
  'broker restarted': {
    fault: 'broker restarted',
    how: 'shut down in order, started after 5 s',
    expected: 'dispatch goes on; afterwards workers take again',
    not: { ...onlyRabbitmq, sqs: 'the private SQS keeps nothing: see broker wiped' },
  },
  'broker killed': {
    fault: 'broker killed with -9',
    how: '`kill -9`, started after 5 s',
    expected: 'dispatch goes on; afterwards workers take again',
    not: { ...onlyRabbitmq, sqs: 'the private SQS keeps nothing: see broker wiped' },
  },
  'broker wiped': {
    fault: 'broker wiped with tickets in it',
    how: 'data folder deleted; SQS killed, which forgets everything',
    expected: 'every job still runs',
    not: onlyRabbitmq,
  },
  'memory alarm': {
    fault: 'memory alarm',
    how: '`set_vm_memory_high_watermark absolute 1`',
    expected: 'dispatch still commits; workers go on',
    not: { ...onlyRabbitmq, sqs: 'SQS has no alarms' },
  },
  'queue purged': {
    fault: 'queue purged',
    how: 'the broker’s own tool, with tickets in it',
    expected: 'published again',
    not: onlyRabbitmq,
  },
  'queue deleted': {
    fault: 'queue deleted',
    how: 'the broker’s own tool',
    expected: 'declared and published again',
    not: onlyRabbitmq,
  },
  'queue with other arguments': {
    fault: 'queue exists with other arguments',
    how: 'declared before as a classic queue',
    expected: 'a clear error naming the argument; other queues live on',
    not: { ...onlyRabbitmq, sqs: 'a queue of SQS is used as it is' },
  },
  unroutable: {
    fault: 'ticket unroutable',
    how: 'queues deleted while no worker runs, then dispatched',
    expected: 'noticed; the job stays ready, and is published again',
    not: { ...onlyRabbitmq, sqs: 'SQS refuses a send to a queue that is not there: see throttled' },
  },
  'confirm lost': {
    fault: 'publish confirm lost',
    how: 'proxy: nothing comes back from the broker',
    expected: 'dispatch goes on; the second ticket is refused',
    not: withTickets,
  },
  'tickets repeated': {
    fault: 'every ticket delivered five times, to all workers',
    how: 'published five times at once',
    expected: 'one claim each',
    not: withTickets,
  },
  'tickets shuffled': {
    fault: 'tickets in random order',
    how: 'each is published after a random time',
    expected: 'order per key all the same',
    not: withTickets,
  },
  'SQS delete fails': {
    fault: 'SQS delete fails; batch half fails',
    how: 'middleware',
    expected: 'late duplicates are refused and deleted',
    not: onlySqs,
  },
  'SQS throttled': {
    fault: 'SQS throttles, answers 503, does not know the queue',
    how: 'middleware: every request',
    expected: 'backoff, no tight loop, no lost job',
    not: onlySqs,
  },
  'visibility ends': {
    fault: 'visibility ends while the ticket waits in the buffer',
    how: 'visibility of 1 s, requests that take longer',
    expected: 'one claim each',
    not: onlySqs,
  },
  'database backends killed': {
    fault: 'database backends killed',
    how: '`pg_terminate_backend` on all of them',
    expected: 'retried; no handler starts without a committed claim',
    not: aFile,
  },
  'database connections torn': {
    fault: 'database connections torn in the middle of a statement',
    how: 'proxy: cut after some bytes each way, half closed, cut',
    expected: 'asked again; done once',
    not: aFile,
  },
  'database down': {
    fault: 'database down for a minute',
    how: 'stop immediate, start',
    expected: 'taking pauses, tickets stay, settles are retried',
    not: aFile,
  },
  'connections forgotten': {
    fault: 'connections silently dead',
    how: 'proxy: forgets them all, tells nobody; to the database, then to the broker; those to SQS end as by TCP keep-alive',
    expected: 'noticed by those who wait; asked again, done once',
    not: aFile,
  },
  failover: {
    fault: 'failover with connections that live on',
    how: 'a pair: the old server becomes read-only, the name leads to the standby, which is promoted after 3 s',
    expected: 'all connections are thrown away; nothing is lost, and followers miss nothing',
    not: aFile,
  },
  'failover that lost commits': {
    fault: 'asynchronous failover that lost commits',
    how: 'a pair: replication cut, the primary killed, the standby promoted',
    expected:
      'what was answered in that time is lost, and nothing else; its followers meet an error, never a hole',
    not: aFile,
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
    not: { sqlite: 'there is no network in between' },
  },
  'eight processes on one file': {
    fault: 'eight processes on one SQLite file',
    how: 'four workers and four dispatchers more',
    expected: 'no lost update, no SQLITE_BUSY for the user',
    not: {
      postgres: 'SQLite alone',
      rabbitmq: 'SQLite alone',
      sqs: 'SQLite alone',
    },
  },
  'clock off': {
    fault: "worker's clock one hour off",
    how: 'process whose `Date` is an hour ahead, and one an hour behind',
    expected: "no lease early or late: the database's clock alone",
    not: { sqlite: 'all processes share the clock of their machine, which is the log’s' },
  },
  'malformed ticket': {
    fault: 'malformed ticket',
    how: 'raw publish: not JSON, wrong types, `__proto__`, 1 MB',
    expected: 'set aside with a log line; the subscription lives on',
    not: withTickets,
  },
  'foreign ticket': {
    fault: 'ticket of an unknown or foreign job',
    how: 'raw publish',
    expected: 'refused; never runs',
    not: withTickets,
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
    not: {
      rabbitmq: 'the database is what is empty: see PostgreSQL',
      sqs: 'the database is what is empty: see PostgreSQL',
    },
  },
  'rolling deploy': {
    fault: 'rolling deploy, old and new worker together',
    how: 'two versions; a schema of a newer one',
    expected: 'both run; a wrong schema is refused clearly',
  },
} as const satisfies Readonly<Record<string, Fault>>

export type FaultName = keyof typeof faults

export const faultNames: readonly FaultName[] = Object.keys(faults) as FaultName[]

/** Why the fault cannot happen there; undefined where it can. */
export function notAt(name: FaultName, place: PlaceName): string | undefined {
  const fault: Fault = faults[name]
  return fault.not?.[place]
}
