import type { Figures } from '../measure/round.ts'
import type { Variant } from '../measure/scene.ts'

/** The figures of one phase: the medians of a variant's rounds; null is what was not measured. */
export type PhaseSummary = Readonly<
  Record<keyof Omit<Figures, 'latencies'> | 'p50' | 'p99' | 'cpuUs', number | null>
>

/** One line of `--json`. Rates in jobs per second, latencies in ms. */
export interface Summary {
  readonly name: string
  readonly kind: Variant['entry']['kind']
  readonly n: number
  readonly processes: number
  readonly backlog: number
  readonly phases: Readonly<Record<string, PhaseSummary>>
}

/** The figures of each phase in each round. */
export type Rounds = ReadonlyMap<string, readonly Figures[]>

export function summarize({ name, entry, processes, backlog }: Variant, n: number, found: Rounds): Summary {
  const phases = [...found].filter(([, rounds]) => rounds.length > 0)
  return {
    name,
    kind: entry.kind,
    n,
    processes,
    backlog,
    phases: Object.fromEntries(phases.map(([phase, rounds]) => [phase, summarizePhase(rounds)])),
  }
}

function summarizePhase(rounds: readonly Figures[]): PhaseSummary {
  const median = (of: (figures: Figures) => number | undefined): number | null =>
    quantile(
      rounds.map(of).filter((value) => value !== undefined),
      0.5,
    )
  // Of all rounds together: a 99th percentile of 150 is the second largest.
  const latencies = rounds.flatMap((figures) => figures.latencies ?? [])
  return {
    rate: rounded(median((one) => one.rate)),
    p50: rounded(quantile(latencies, 0.5), 2),
    p99: rounded(quantile(latencies, 0.99), 2),
    cpuUs: rounded(median(sumCpu), 1),
    clientUs: rounded(
      median((one) => one.clientUs),
      1,
    ),
    serverUs: rounded(
      median((one) => one.serverUs),
      1,
    ),
    walBytes: rounded(median((one) => one.walBytes)),
    indexEntries: rounded(
      median((one) => one.indexEntries),
      2,
    ),
    diskBytes: rounded(median((one) => one.diskBytes)),
    statements: rounded(
      median((one) => one.statements),
      4,
    ),
    requests: rounded(
      median((one) => one.requests),
      4,
    ),
    commitsPerSecond: rounded(
      median((one) => one.commitsPerSecond),
      2,
    ),
    requestsPerSecond: rounded(
      median((one) => one.requestsPerSecond),
      2,
    ),
    listsMs: rounded(median((one) => one.listsMs)),
    startup: rounded(
      median((one) => one.startup),
      2,
    ),
    rssMb: rounded(median((one) => one.rssMb)),
  }
}

/** CPU per job of all processes. */
export function sumCpu({ clientUs, serverUs }: Figures): number | undefined {
  return clientUs === undefined || serverUs === undefined ? undefined : clientUs + serverUs
}

export function quantile(values: readonly number[], share: number): number | null {
  const sorted = values.toSorted((a, b) => a - b)
  if (share === 0.5 && sorted.length > 0 && sorted.length % 2 === 0) {
    const middle = sorted.length / 2
    return ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2
  }
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? null
}

function rounded(value: number | null, digits = 0): number | null {
  return value === null ? null : Number(value.toFixed(digits))
}
