import type { Summary } from './summary.ts'

const dash = '–'

const columns: readonly (readonly [title: string, of: (summary: Summary) => string])[] = [
  ['', ({ name }) => name],
  ['enqueue1/s', ({ enqueue1 }) => whole(enqueue1)],
  ['bulk/s', ({ enqueueBulk }) => whole(enqueueBulk)],
  ['drain/s', ({ drain }) => whole(drain)],
  ['p50 ms', ({ latency }) => latency.p50?.toFixed(2) ?? dash],
  ['p99 ms', ({ latency }) => latency.p99?.toFixed(2) ?? dash],
  ['cpu s', ({ cpuSeconds }) => cpuSeconds.toFixed(2)],
  ['rss MB', ({ rssMb }) => whole(rssMb)],
]

export function makeTable(summaries: readonly Summary[]): string {
  const rows = [columns.map(([title]) => title), ...summaries.map((one) => columns.map(([, of]) => of(one)))]
  return aligned(rows)
}

/** Columns as wide as they must be: the first to the left, figures to the right. */
export function aligned(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)))
  return rows
    .map((row) =>
      row
        .map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

function whole(value: number | null): string {
  return value === null ? dash : Math.round(value).toLocaleString('en')
}
