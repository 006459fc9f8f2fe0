import { describeFailure } from '@errand/core'
import type { JobDetails, JobEvent, NeedInfo } from '@errand/core'
import { ErrandError, isErrandError } from '@errand/core/ports'
import { withErrand } from '../../application/open.ts'
import { action } from '../../command.ts'
import type { Command } from '../../command.ts'
import { eventText } from '../../output/event-text.ts'
import { failureText } from '../../output/failure-text.ts'
import { jobLimitText } from '../../output/limit-text.ts'
import { printMemory } from '../../output/memory-text.ts'
import { listNeeds } from '../flows/tree.ts'
import { paintState } from '../../output/paint.ts'
import type { Terminal } from '../../output/terminal.ts'
import { harmless } from '../../output/text.ts'
import { moment, relative, spanText } from '../../output/times.ts'

/** So many are shown. */
const mostNeeds = 20
const mostNeededBy = 20

export function show(jobs: Command): void {
  const command = jobs
    .command('show')
    .description('show a job: what it is, everything that happened to it, and what it remembers')
    .argument('<id>')
  action<object, [string]>(command, ({ terminal, global }, _options, id) =>
    withErrand(terminal, global, async ({ errand }) => {
      const job = await errand.jobs.get(id)
      if (!job)
        throw new ErrandError(
          'E_NOT_FOUND',
          `there is no job ${id} in this log; finished jobs are pruned after their retention`,
        )
      const history = await errand.events.of(id)
      const needs = await orNoRight(errand.jobs.needs(id), [])
      const neededBy = await orNoRight(errand.jobs.neededBy(id, { limit: mostNeededBy }), [])
      const memory = await orNoRight(errand.jobs.memory(id), { steps: [], waits: [], messages: [] })
      if (terminal.json) return terminal.value({ ...job, needs, neededBy, memory, history })
      const limit = job.limit && (await jobLimitText(errand, job.limit))
      for (const [name, value] of facts(terminal, job, limit, { needs, neededBy })) {
        if (value !== undefined) terminal.print(`${terminal.paint('faint', name.padEnd(11))} ${value}`)
      }
      terminal.print('')
      printHistory(terminal, history)
      printMemory(terminal, memory)
      if (job.error) terminal.print(`\n${terminal.paint('faint', harmless(failureText(job.error), 'many'))}`)
    }),
  )
}

/** Who only dispatches may read a job, and not what stands around it. Then that is left out. */
async function orNoRight<T>(asked: Promise<T>, none: T): Promise<T> {
  try {
    return await asked
  } catch (error) {
    if (isErrandError(error, 'E_RIGHTS')) return none
    throw error
  }
}

function facts(
  terminal: Terminal,
  job: JobDetails,
  limit: string | undefined,
  { needs, neededBy }: { readonly needs: readonly NeedInfo[]; readonly neededBy: readonly string[] },
): readonly (readonly [string, string | undefined])[] {
  const now = Date.now()
  const when = (date: Date | undefined): string | undefined =>
    date && `${moment(date.getTime())} (${relative(date.getTime(), now)})`
  const text = (value: string | undefined): string | undefined =>
    value === undefined ? undefined : harmless(value)
  const state = paintState(terminal.paint, job.state)
  const counts = `run ${job.run}, attempt ${job.attempt} of ${job.maxAttempts}${job.crashes > 0 ? `, ${job.crashes} lost` : ''}`
  const meta = Object.entries(job.meta).map(([name, value]) => `${name}=${value}`)
  return [
    ['id', terminal.paint('strong', job.id)],
    ['job', text(job.name)],
    ['queue', `${harmless(job.queue)}, lane ${job.lane}`],
    ['state', `${state}${job.cancelRequested ? ', to be cancelled' : ''} · ${counts}`],
    ['worker', text(job.worker)],
    ['due', when(job.runAt)],
    ['progress', job.progress && harmless(`${job.progress.value} ${job.progress.message ?? ''}`.trim())],
    ['key', text(job.orderingKey)],
    ['limit', text(limit)],
    ['unique key', text(job.uniqueKey)],
    ['share key', text(job.shareKey)],
    ['tags', job.tags.length > 0 ? harmless(job.tags.join(', ')) : undefined],
    ['meta', meta.length > 0 ? harmless(meta.join(', ')) : undefined],
    ['parent', text(job.parentId)],
    ['flow', job.flow],
    ...needs
      .slice(0, mostNeeds)
      .map((need, index) => [index === 0 ? 'needs' : '', needText(terminal, need)] as const),
    ['', needs.length > mostNeeds ? `and ${needs.length - mostNeeds} more` : undefined],
    ['waits for', job.waitsForNeeds ? listNeeds(needs, new Map()) : undefined],
    ['needed by', neededBy.length > 0 ? neededBy.join(', ') : undefined],
    ['dispatched', when(job.dispatchedAt)],
    ['finished', when(job.finishedAt)],
    ['payload', text(JSON.stringify(job.payload))],
    ['result', text(JSON.stringify(job.result))],
    ['error', job.error && terminal.paint('bad', harmless(describeFailure(job.error)))],
  ]
}

/** `sales: succeeded 0199f3c2-…`, `flow 0199f3c2-… however it ends: running`. */
function needText(terminal: Terminal, { on, isFlow, mode, name, state }: NeedInfo): string {
  const of = name === undefined ? '' : `${harmless(name)}: `
  const how = { succeeded: '', called: '', ended: ', however it ends', unsuccessful: ', unless it succeeds' }
  const now = state === undefined ? terminal.paint('waiting', 'open') : paintState(terminal.paint, state)
  return `${of}${isFlow ? 'flow ' : ''}${on}${how[mode]} · ${now}`
}

function printHistory(terminal: Terminal, history: readonly JobEvent[]): void {
  const first = history[0]
  terminal.table(
    [
      { title: '#', value: (event) => event.version, align: 'right' },
      { title: 'TIME', value: (event) => moment(event.at.getTime()) },
      {
        title: 'AFTER',
        value: (event) => spanText(event.at.getTime() - (first?.at.getTime() ?? 0)),
        align: 'right',
      },
      { title: 'EVENT', value: (event) => event.type },
      {
        title: 'STATE',
        value: (event) => event.state,
        paint: (text, event) => (text === event.state ? paintState(terminal.paint, text) : text),
      },
      { title: '', value: eventText, paint: (text) => terminal.paint('faint', text), flexible: true },
    ],
    history,
  )
}
