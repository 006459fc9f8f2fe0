import { describeFailure } from '@errand/core'
import type { JobDetails, JobEvent } from '@errand/core'
import { ErrandError } from '@errand/core/ports'
import { withErrand } from '../../application/open.ts'
import { action } from '../../command.ts'
import type { Command } from '../../command.ts'
import { eventText } from '../../output/event-text.ts'
import { failureText } from '../../output/failure-text.ts'
import { jobLimitText } from '../../output/limit-text.ts'
import { paintState } from '../../output/paint.ts'
import type { Terminal } from '../../output/terminal.ts'
import { harmless } from '../../output/text.ts'
import { moment, relative, spanText } from '../../output/times.ts'

export function show(jobs: Command): void {
  const command = jobs
    .command('show')
    .description('show a job: what it is, and everything that happened to it')
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
      if (terminal.json) return terminal.value({ ...job, history })
      const limit = job.limit && (await jobLimitText(errand, job.limit))
      for (const [name, value] of facts(terminal, job, limit)) {
        if (value !== undefined) terminal.print(`${terminal.paint('faint', name.padEnd(11))} ${value}`)
      }
      terminal.print('')
      printHistory(terminal, history)
      if (job.error) terminal.print(`\n${terminal.paint('faint', harmless(failureText(job.error), 'many'))}`)
    }),
  )
}

function facts(
  terminal: Terminal,
  job: JobDetails,
  limit: string | undefined,
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
    ['dispatched', when(job.dispatchedAt)],
    ['finished', when(job.finishedAt)],
    ['payload', text(JSON.stringify(job.payload))],
    ['result', text(JSON.stringify(job.result))],
    ['error', job.error && terminal.paint('bad', harmless(describeFailure(job.error)))],
  ]
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
