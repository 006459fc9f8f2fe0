import { aligned } from './table.ts'
import type { Summary } from './summary.ts'

type Rate = 'enqueue1' | 'enqueueBulk' | 'drain'

interface Target {
  readonly what: string
  readonly subject: string
  readonly rate: Rate
  /** Compared with the best of these that were measured. */
  readonly against: readonly string[]
  readonly atLeast: number
}

const onPostgres = ['graphile-worker', 'graphile-worker-local-queue', 'pg-boss', 'bullmq-postgres']

/** What Errand is to reach, as ratios within one run. */
const targets: readonly Target[] = [
  { ...over('errand-postgres', 'enqueue1', onPostgres), atLeast: 10 },
  { ...over('errand-postgres', 'enqueue1', ['bullmq-redis']), atLeast: 1 },
  { ...over('errand-postgres', 'enqueueBulk', [...onPostgres, 'boringnode-knex']), atLeast: 1.2 },
  { ...over('errand-postgres', 'drain', ['bullmq-redis']), atLeast: 1.5 },
  { ...over('errand-postgres', 'drain', ['graphile-worker-local-queue']), atLeast: 1 },
  { ...over('errand-postgres', 'drain', ['pg-boss']), atLeast: 1 },
  { ...over('errand-postgres', 'drain', ['bare-postgres']), atLeast: 0.8 },
  { ...over('errand-rabbitmq', 'enqueue1', ['raw-amqplib']), atLeast: 0.35 },
  { ...over('errand-rabbitmq', 'drain', ['raw-amqplib']), atLeast: 0.35 },
  { ...over('errand-sqlite', 'drain', ['bare-sqlite']), atLeast: 0.6 },
  { ...over('errand-sqs', 'drain', ['sqs-consumer']), atLeast: 1 },
]

const longestP50Ms = 2.5
const backlogAtLeast = 0.8
const fleetAtLeast = 1

interface Ratio {
  readonly what: string
  readonly ratio: number
  readonly atLeast: number
}

/** A line per target of which both sides were measured; empty where there is none. */
export function describeRatios(summaries: readonly Summary[]): string {
  const ratios = [
    ...targets.flatMap((target) => compareRates(target, summaries)),
    ...compareLatencies(summaries),
  ]
  ratios.push(...compareVariants(summaries))
  if (ratios.length === 0) return ''
  return aligned([
    ['', 'ratio', 'at least', ''],
    ...ratios.map(({ what, ratio, atLeast }) => [
      what,
      ratio.toFixed(2),
      atLeast.toFixed(2),
      ratio >= atLeast ? 'reached' : 'MISSED',
    ]),
  ])
}

function over(subject: string, rate: Rate, against: readonly string[]): Omit<Target, 'atLeast'> {
  const whom = against.length > 1 ? 'the best of ' : ''
  return { what: `${subject} ${rate} / ${whom}${against.join(', ')}`, subject, rate, against }
}

function compareRates(
  { what, subject, rate, against, atLeast }: Target,
  summaries: readonly Summary[],
): Ratio[] {
  const of = (name: string): number | undefined =>
    summaries.find((summary) => summary.name === name)?.[rate] ?? undefined
  const own = of(subject)
  const others = against.map(of).filter((value) => value !== undefined)
  return own === undefined || others.length === 0 ? [] : [{ what, ratio: own / Math.max(...others), atLeast }]
}

function compareLatencies(summaries: readonly Summary[]): Ratio[] {
  const of = (name: string): number | null | undefined =>
    summaries.find((summary) => summary.name === name)?.latency.p50
  const own = of('errand-postgres')
  if (own == null) return []
  const graphile = of('graphile-worker')
  return [
    { what: `${longestP50Ms} ms / errand-postgres p50`, ratio: longestP50Ms / own, atLeast: 1 },
    ...(graphile == null
      ? []
      : [{ what: 'graphile-worker p50 / errand-postgres p50', ratio: graphile / own, atLeast: 1 }]),
  ]
}

/** Errand's fleets against one process, and its deep histories against none. */
function compareVariants(summaries: readonly Summary[]): Ratio[] {
  return summaries.flatMap(({ name, drain, processes, backlog }) => {
    const [plain = ''] = name.split(' ')
    const base = summaries.find((summary) => summary.name === plain)?.drain
    if (name === plain || !name.startsWith('errand-') || drain === null || base == null) return []
    const atLeast = backlog > 0 && processes === 1 ? backlogAtLeast : fleetAtLeast
    return [{ what: `${name} drain / ${plain}`, ratio: drain / base, atLeast }]
  })
}
