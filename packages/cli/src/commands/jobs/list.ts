import type { JobDetails } from '@errand/core'
import { withErrand } from '../../application/open.ts'
import { action } from '../../command.ts'
import type { Command } from '../../command.ts'
import { filterOptions, toFilter } from '../../options/filter.ts'
import type { FilterOptions } from '../../options/filter.ts'
import { positiveNumber } from '../../options/parse.ts'
import type { Terminal } from '../../output/terminal.ts'
import { jobColumns } from './columns.ts'

interface Options extends FilterOptions {
  readonly limit: number
  readonly after?: string | undefined
}

/** Rows in one table. Each page is shown before the next one is read. */
const page = 500

export function list(jobs: Command): void {
  const command = jobs.command('list').alias('ls').description('list jobs, newest dispatch first')
  filterOptions(command)
    .option('--limit <number>', 'at most this many', positiveNumber, 50)
    .option('--after <id>', 'continue after this job, the last one of the previous page')
  action<Options>(command, ({ terminal, global }, options) =>
    withErrand(terminal, global, async ({ errand }) => {
      const { limit, after } = options
      // One more than is shown, to see whether there are more.
      const found = errand.jobs.list({ ...toFilter(options), limit: limit + 1, after })
      await show(terminal, found, limit)
    }),
  )
}

async function show(terminal: Terminal, found: AsyncIterable<JobDetails>, limit: number): Promise<void> {
  const all: JobDetails[] = []
  let rows: JobDetails[] = []
  const flush = (): void => {
    if (rows.length > 0) terminal.table(jobColumns(terminal.paint, Date.now()), rows)
    rows = []
  }
  let seen = 0
  let last: JobDetails | undefined
  let more = false
  for await (const job of found) {
    more = seen === limit
    if (more) break
    seen += 1
    last = job
    if (terminal.json) all.push(job)
    else rows.push(job)
    if (rows.length === page) flush()
  }
  if (terminal.json) return terminal.value({ jobs: all, next: more ? last?.id : undefined })
  flush()
  if (seen === 0) terminal.note('no such jobs')
  if (more && last)
    terminal.note(terminal.notePaint('faint', `more: --after ${last.id}, or a higher --limit`))
}
