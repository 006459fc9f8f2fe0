import type { Figures, Variant } from '../measure/round.ts'

/** One line of `--json`. Rates in jobs per second, latencies in ms; null where a variant does not measure it. */
export interface Summary {
  readonly name: string
  readonly n: number
  readonly enqueue1: number | null
  readonly enqueueBulk: number | null
  readonly drain: number | null
  readonly latency: { readonly p50: number | null; readonly p99: number | null }
  /** User and system time of the subject's Node processes while they were timed (latency left out). */
  readonly cpuSeconds: number
  /** The largest of its processes. */
  readonly rssMb: number
  readonly processes: number
  readonly backlog: number
}

/** The medians of a variant's rounds. */
export function summarize(
  { name, processes, backlog }: Variant,
  n: number,
  rounds: readonly Figures[],
): Summary {
  const median = (of: (figures: Figures) => number | undefined): number | null =>
    quantile(
      rounds.map(of).filter((value) => value !== undefined),
      0.5,
    )
  // Of all rounds together: a 99th percentile of 200 is the second largest.
  const latencies = rounds.flatMap((figures) => figures.latencies ?? [])
  return {
    name,
    n,
    enqueue1: rounded(median((figures) => figures.enqueue1)),
    enqueueBulk: rounded(median((figures) => figures.enqueueBulk)),
    drain: rounded(median((figures) => figures.drain)),
    latency: { p50: rounded(quantile(latencies, 0.5), 2), p99: rounded(quantile(latencies, 0.99), 2) },
    cpuSeconds:
      rounded(
        median((figures) => figures.cpuSeconds),
        2,
      ) ?? 0,
    rssMb: rounded(median((figures) => figures.rssMb)) ?? 0,
    processes,
    backlog,
  }
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
