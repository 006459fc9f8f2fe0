import type { Errand, Filter, JobDetails } from '@errand/core'
import { ErrandError, isErrandError } from '@errand/core/ports'
import type { JobState } from '@errand/core/ports'
import { Option } from 'commander'
import { withErrand } from '../../application/open.ts'
import type { Command, GlobalOptions, Invocation } from '../../command.ts'
import { confirmed } from '../../confirm.ts'
import type { ExitCode } from '../../exit-codes.ts'
import { exitCodes } from '../../exit-codes.ts'
import { filterOptions, toFilter } from '../../options/filter.ts'
import type { FilterOptions } from '../../options/filter.ts'
import { operator } from '../../options/parse.ts'
import { progress } from '../../output/progress.ts'
import { counted } from '../../output/text.ts'
import type { Terminal } from '../../output/terminal.ts'
import { jobColumns } from './columns.ts'

/** Options of commands that act on jobs by id or by filter. */
export interface BulkOptions extends FilterOptions {
  readonly by?: string | undefined
  readonly reason?: string | undefined
  readonly dryRun?: boolean | undefined
  readonly yes?: boolean | undefined
}

/** What such a command does to jobs. */
export interface BulkAct {
  /** `cancel`, `cancelled`. */
  readonly verb: string
  readonly done: string
  /** States of jobs that it can act on. If a filter names no state, it acts on those of `byDefault`. */
  readonly states: readonly JobState[]
  readonly byDefault: readonly JobState[]
  act(
    errand: Errand,
    which: string | Filter,
    note: { readonly by: string; readonly reason?: string | undefined },
    onProgress: (count: number) => void,
  ): Promise<number>
}

export function bulkOptions(command: Command, states: readonly JobState[]): Command {
  return byOptions(filterOptions(command, states))
    .addOption(new Option('--dry-run', 'only show which jobs would be affected'))
    .addOption(new Option('--yes', 'do not ask, when jobs are chosen by a filter'))
}

export function byOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--by <name>', "who does it, for the jobs' history (default: the user of this system)"),
    )
    .addOption(new Option('--reason <text>', "why, for the jobs' history"))
}

/**
 * Acts on the named jobs, or on those that match the filter.
 * @throws `E_OPTION` if neither or both are given, or if a filter comes without `--yes` and there is no terminal to
 * ask; `E_NOT_FOUND` for an unknown id, before anything is done.
 */
export async function runBulk(
  { terminal, global }: Invocation,
  bulk: BulkAct,
  ids: readonly string[],
  options: BulkOptions & GlobalOptions,
): Promise<ExitCode> {
  const filter = toFilter(options)
  const byFilter = Object.keys(filter).length > 0
  if (byFilter === ids.length > 0) {
    throw new ErrandError(
      'E_OPTION',
      `${bulk.verb} which jobs? Name their ids, or choose them by --queue, --state, --job, --tag or --before`,
    )
  }
  return withErrand(terminal, global, async ({ errand }) => {
    const chosen = byFilter
      ? await jobsOfFilter(errand, bulk, filter, terminal)
      : await jobsOfIds(errand, bulk, ids)
    if (options.dryRun) return tell(terminal, bulk, chosen, true)
    if (byFilter && chosen.count > 0 && !options.yes) {
      const question = `${bulk.verb} ${counted(chosen.count, 'job')}?`
      if (!(await confirmed(terminal, question))) return exitCodes.interrupted
    }
    const note = { by: operator(options.by), reason: options.reason }
    const line = progress(terminal, bulk.done, chosen.count)
    const left = [...chosen.left]
    let done = 0
    try {
      if (byFilter) done = await bulk.act(errand, filter, note, (count) => line.add(count))
      for (const { id } of byFilter ? [] : chosen.first) {
        const one = await bulk.act(errand, id, note, () => {}).catch(refusal)
        if (typeof one === 'number' && one > 0) done += one
        else left.push({ id, why: typeof one === 'number' ? `was not ${bulk.done}` : one.message })
      }
    } finally {
      line.end()
    }
    return tell(terminal, bulk, { ...chosen, left, count: done }, false)
  })
}

/** A refused job does not stop the others. */
function refusal(error: unknown): Error {
  if (isErrandError(error, 'E_NOT_ALLOWED')) return error
  throw error
}

interface Chosen {
  readonly count: number
  /** The jobs themselves. Of a filter only the first few. */
  readonly first: readonly JobDetails[]
  /** Named jobs that are left unchanged, and why. */
  readonly left: readonly { readonly id: string; readonly why: string }[]
}

const shown = 10

async function jobsOfFilter(
  errand: Errand,
  bulk: BulkAct,
  filter: Filter,
  terminal: Terminal,
): Promise<Chosen> {
  const first: JobDetails[] = []
  let count = 0
  const line = progress(terminal, 'counted')
  for (const state of filter.state === undefined ? bulk.byDefault : [filter.state]) {
    for await (const job of errand.jobs.list({ ...filter, state })) {
      if (first.length < shown) first.push(job)
      count += 1
      line.add(1)
    }
  }
  line.end()
  return { count, first, left: [] }
}

async function jobsOfIds(errand: Errand, bulk: BulkAct, ids: readonly string[]): Promise<Chosen> {
  const first: JobDetails[] = []
  const left: { readonly id: string; readonly why: string }[] = []
  for (const id of new Set(ids)) {
    const job = await errand.jobs.get(id)
    if (!job)
      throw new ErrandError('E_NOT_FOUND', `there is no job ${id} in this log; nothing was ${bulk.done}`)
    if (bulk.states.some((state) => state === job.state)) first.push(job)
    else left.push({ id, why: `it is ${job.state}` })
  }
  return { count: first.length, first, left }
}

function tell(terminal: Terminal, bulk: BulkAct, chosen: Chosen, dryRun: boolean): ExitCode {
  const { left } = chosen
  const exitCode = chosen.count === 0 && left.length > 0 ? exitCodes.refused : exitCodes.ok
  if (terminal.json) {
    terminal.value({ [bulk.done]: chosen.count, left, dryRun })
    return exitCode
  }
  if (dryRun) {
    if (chosen.first.length > 0) terminal.table(jobColumns(terminal.paint, Date.now()), chosen.first)
    if (chosen.count > chosen.first.length) terminal.print(`… and ${chosen.count - chosen.first.length} more`)
  }
  terminal.print(`${counted(chosen.count, 'job')} ${dryRun ? `would be ${bulk.done}` : bulk.done}`)
  for (const { id, why } of left) terminal.note(`left as it is: ${id}: ${why}`)
  return exitCode
}
