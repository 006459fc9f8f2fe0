import type { PhaseSummary, Summary } from './summary.ts'

export const dash = '–'

type Cell = (summary: Summary) => string

const rates: readonly (readonly [title: string, cell: Cell])[] = [
  ['', ({ name }) => name],
  ['enqueue1/s', (one) => whole(one.phases['enqueue1']?.rate)],
  ['bulk/s', (one) => whole(one.phases['enqueueBulk']?.rate)],
  ['drain/s', (one) => whole(one.phases['drain']?.rate)],
  ['p50 ms', (one) => fixed(one.phases['latency']?.p50, 2)],
  ['p99 ms', (one) => fixed(one.phases['latency']?.p99, 2)],
]

type CostCell = (phase: PhaseSummary) => string

const costs: readonly (readonly [title: string, cell: CostCell])[] = [
  ['jobs/s', ({ rate }) => whole(rate)],
  ['CPU µs', ({ cpuUs }) => whole(cpuUs)],
  ['client', ({ clientUs }) => whole(clientUs)],
  ['servers', ({ serverUs }) => whole(serverUs)],
  ['WAL B', ({ walBytes }) => whole(walBytes)],
  ['index entries', ({ indexEntries }) => fixed(indexEntries, 2)],
  ['disk B', ({ diskBytes }) => whole(diskBytes)],
  ['statements', ({ statements }) => fixed(statements, 3)],
  ['requests', ({ requests }) => fixed(requests, 3)],
  ['rss MB', ({ rssMb }) => whole(rssMb)],
]

/** The figures that all subjects have. */
export function makeTable(summaries: readonly Summary[]): string {
  return aligned([
    rates.map(([title]) => title),
    ...summaries.map((one) => rates.map(([, cell]) => cell(one))),
  ])
}

/** What a job costs in each phase, and what else the phase found. */
export function makeCostsTable(summaries: readonly Summary[]): string {
  const rows = summaries.flatMap(({ name, phases }) =>
    Object.entries(phases)
      .filter(([phase]) => phase !== 'latency')
      .map(([phase, found]) => [
        `${name} ${phase}`,
        ...costs.map(([, cell]) => cell(found)),
        describeRemarks(found),
      ]),
  )
  return aligned([['per job', ...costs.map(([title]) => title), ''], ...rows])
}

function describeRemarks({ commitsPerSecond, requestsPerSecond, listsMs, startup }: PhaseSummary): string {
  return [
    commitsPerSecond === null ? '' : `${commitsPerSecond} commits/s`,
    requestsPerSecond === null ? '' : `${requestsPerSecond} requests/s`,
    listsMs === null ? '' : `lists: ${listsMs} ms of CPU`,
    startup === null ? '' : `× node -e 0: ${startup}`,
  ]
    .filter(Boolean)
    .join(', ')
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

function whole(value: number | null | undefined): string {
  return value == null ? dash : Math.round(value).toLocaleString('en')
}

function fixed(value: number | null | undefined, digits: number): string {
  return value == null ? dash : value.toFixed(digits)
}
