import type { Look } from './ratios.ts'
import type { PhaseSummary } from './summary.ts'

/** What Errand must reach, from one run. A value is undefined if a part of it was not measured. */
interface Target {
  readonly what: string
  readonly atLeast?: number
  readonly atMost?: number
  readonly value: Compute
  /** The same for CPU per job of all processes, shown beside a ratio of rates. */
  readonly cpu?: Compute
}

type Compute = (look: Look) => number | undefined

type Figure = keyof PhaseSummary

const localQueue = 'graphile-worker-local-queue'
const runJobs = ['graphile-worker', localQueue, 'pg-boss', 'bullmq-postgres']
const postgres = 'errand-postgres'

/** A figure of one subject over the best of others. */
function over(subject: string, phase: string, others: readonly string[], figure: Figure = 'rate'): Compute {
  return (look) => {
    const own = look(subject, phase, figure)
    const found = others.map((other) => look(other, phase, figure)).filter((one) => one !== undefined)
    if (own === undefined || found.length === 0) return undefined
    return own / (figure === 'rate' ? Math.max(...found) : Math.min(...found))
  }
}

/** A rate over the best of others, and the CPU per job over that of the same one. */
function faster(subject: string, phase: string, others: readonly string[]): Pick<Target, 'value' | 'cpu'> {
  const rate = (look: Look, name: string): number => look(name, phase, 'rate') ?? 0
  return {
    value: over(subject, phase, others),
    cpu: (look) => {
      const [best = ''] = others.toSorted((a, b) => rate(look, b) - rate(look, a))
      return over(subject, phase, [best], 'cpuUs')(look)
    },
  }
}

/** A figure of one phase over that of another. */
function between(subject: string, phase: string, base: string, figure: Figure = 'rate'): Compute {
  return (look) => {
    const [own, other] = [look(subject, phase, figure), look(subject, base, figure)]
    return own === undefined || other === undefined ? undefined : own / other
  }
}

function bothBetween(subject: string, phase: string, base: string): Pick<Target, 'value' | 'cpu'> {
  return { value: between(subject, phase, base), cpu: between(subject, phase, base, 'cpuUs') }
}

function of(subject: string, phase: string, figure: Figure): Compute {
  return (look) => look(subject, phase, figure)
}

/** From the dispatch to the end: a bulk and a drain together. */
function life(subject: string, figure: Figure): Compute {
  return (look) => {
    const [stored, ran] = [look(subject, 'enqueueBulk', figure), look(subject, 'drain', figure)]
    return stored === undefined || ran === undefined ? undefined : stored + ran
  }
}

export const targets: readonly Target[] = [
  { what: `${postgres} drain / ${localQueue}`, atLeast: 1, ...faster(postgres, 'drain', [localQueue]) },
  { what: `… CPU per job / its CPU`, atMost: 1.2, value: over(postgres, 'drain', [localQueue], 'cpuUs') },
  { what: `${postgres} drain / pg-boss`, atLeast: 1.3, ...faster(postgres, 'drain', ['pg-boss']) },
  {
    what: `${postgres} drain of 5 ms handlers, 200 slots / ${localQueue}`,
    atLeast: 1,
    ...faster(postgres, 'drain5ms200', [localQueue]),
  },
  {
    what: `${postgres} bulk / the best on PostgreSQL`,
    atLeast: 1.2,
    ...faster(postgres, 'enqueueBulk', [...runJobs, 'boringnode-knex']),
  },
  { what: `${postgres} WAL per job, B`, atMost: 1_300, value: life(postgres, 'walBytes') },
  { what: `… index entries per job`, atMost: 5, value: life(postgres, 'indexEntries') },
  { what: `… disk per finished job, B`, atMost: 900, value: of(postgres, 'drain', 'diskBytes') },
  { what: 'errand-sqs requests per job', atMost: 0.06, value: life('errand-sqs', 'requests') },
  { what: '… drain / sqs-consumer', atLeast: 2, ...faster('errand-sqs', 'drain', ['sqs-consumer']) },
  { what: '… bulk / sqs-consumer', atLeast: 1, ...faster('errand-sqs', 'enqueueBulk', ['sqs-consumer']) },
  {
    what: '… idle with 20 queues, requests/s',
    atMost: 0.5,
    value: of('errand-sqs', 'idle20', 'requestsPerSecond'),
  },
  {
    what: 'errand-sqlite drain / the bare statements',
    atLeast: 0.8,
    ...faster('errand-sqlite', 'drain', ['bare-sqlite']),
  },
  {
    what: 'errand-rabbitmq dispatch / amqplib',
    atLeast: 0.8,
    ...faster('errand-rabbitmq', 'enqueue1', ['raw-amqplib']),
  },
  { what: '… drain / amqplib', atLeast: 0.5, ...faster('errand-rabbitmq', 'drain', ['raw-amqplib']) },
  {
    what: `${postgres} drain of 100 queues / one`,
    atLeast: 0.8,
    ...bothBetween(postgres, 'queues100', 'drain'),
  },
  {
    what: '… idle with 100 queues, commits/s',
    atMost: 5,
    value: of(postgres, 'idle100', 'commitsPerSecond'),
  },
  {
    what: `${postgres} drain of 100 keys / plain`,
    atLeast: 0.7,
    ...bothBetween(postgres, 'keys100', 'drain'),
  },
  {
    what: `${postgres} drain of jobs with a limit of 100 keys / plain`,
    atLeast: 0.5,
    ...bothBetween(postgres, 'limited100', 'drain'),
  },
  { what: '… statements per job of a hot key', atMost: 2, value: of(postgres, 'key1', 'statements') },
  {
    what: `${postgres} CPU of a drain with a follower / plain`,
    atMost: 1.2,
    value: between(postgres, 'followed1', 'drain', 'cpuUs'),
  },
  { what: '… with ten followers', atMost: 1.5, value: between(postgres, 'followed10', 'drain', 'cpuUs') },
  {
    what: `${postgres} single dispatches / BullMQ on Redis`,
    atLeast: 1,
    ...faster(postgres, 'enqueue1', ['bullmq-redis']),
  },
  {
    what: '… the best of the queues on PostgreSQL that run jobs',
    atLeast: 10,
    ...faster(postgres, 'enqueue1', runJobs),
  },
  {
    what: `${postgres} idle latency p50 / graphile-worker`,
    atMost: 1,
    value: over(postgres, 'latency', ['graphile-worker'], 'p50'),
  },
  {
    what: 'errand-rabbitmq … / amqplib',
    atMost: 2.5,
    value: over('errand-rabbitmq', 'latency', ['raw-amqplib'], 'p50'),
  },
  { what: 'errand-sqs … / the SDK', atMost: 3, value: over('errand-sqs', 'latency', ['raw-sqs'], 'p50') },
  {
    what: 'errand-sqlite … / bare',
    atMost: 2,
    value: over('errand-sqlite', 'latency', ['bare-sqlite'], 'p50'),
  },
  {
    what: 'errand jobs list on SQLite, cold / node -e 0, CPU',
    atMost: 3,
    value: of('errand-sqlite', 'startup', 'startup'),
  },
  { what: '… on PostgreSQL', atMost: 3, value: of(postgres, 'startup', 'startup') },
  {
    what: `${postgres} memory of a draining worker / ${localQueue}`,
    atMost: 1.2,
    value: over(postgres, 'drain', [localQueue], 'rssMb'),
  },
]
