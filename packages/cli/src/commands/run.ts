import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { Ended, JobDetails, Receipt } from '@errand/core'
import { ErrandError } from '@errand/core/ports'
import { loadWorker } from '../application/definitions.ts'
import { openErrand } from '../application/open.ts'
import { preload } from '../application/preload.ts'
import { loadProject, workerFile } from '../application/project.ts'
import { action } from '../command.ts'
import type { Command, GlobalOptions, Invocation } from '../command.ts'
import { exitCodes } from '../exit-codes.ts'
import type { ExitCode } from '../exit-codes.ts'
import { json, list, operator, path } from '../options/parse.ts'
import { failureText } from '../output/failure-text.ts'
import { humanLogger, withoutEnds } from '../output/logger.ts'
import type { Terminal } from '../output/terminal.ts'
import { harmless } from '../output/text.ts'
import { untilInterrupted } from '../until-interrupted.ts'
import { send } from './dispatch.ts'
import { observeWorker, newDrainState } from './work/drain-state.ts'

interface Options {
  readonly worker?: string | undefined
  readonly retry?: boolean | undefined
  readonly import?: readonly string[] | undefined
}

export function run(program: Command): void {
  const command = program
    .command('run')
    .description(
      'run one job in this process, now, and print its result; the job log records it like any other',
    )
    .argument('<name>', "the job's name")
    .argument('[payload]', 'JSON, @FILE, or - for stdin')
    .option('--worker <file>', "the worker's file (default: as for `errand work`)", path)
    .option('--retry', 'wait for its retries; without it the first attempt is the only one')
    .option('--import <modules>', 'load these first, as `node --import`; may be repeated', list)
  action<Options, [string, string | undefined]>(command, (invocation, options, name, payload) =>
    runHere(invocation, options, name, payload),
  )
}

/** How long the handler may take to end after Ctrl-C. */
const interruptedGrace = '5s'

/**
 * A real worker for a queue of its own, which no other worker serves. So the job is validated, claimed, recorded and
 * settled as always, on any log, and no other worker can take it.
 */
async function runHere(
  { terminal, global }: Invocation,
  options: Options & GlobalOptions,
  name: string,
  payloadText: string | undefined,
): Promise<ExitCode> {
  const payload = await json(payloadText)
  await preload(options.import ?? [])
  const project = await loadProject(global)
  const source = await loadWorker(workerFile(project, options.worker))
  const queue = `run-${randomUUID()}`
  const by = operator(undefined)

  // Directly from the log: a queue for one job must leave nothing on a broker.
  const human = humanLogger(global.verbose ? 'debug' : 'info', (line) => terminal.note(line))
  // The end of the run is shown at the end. With --retry, the end of each run is shown.
  const logger = options.retry ? human : withoutEnds(human)
  const errand = await openErrand({ ...project, config: { ...project.config, driver: 'database' } }, logger)
  const drain = newDrainState()
  const ended = Promise.withResolvers<Ended>()
  const definition = await observeWorker(source, drain, {
    concurrency: 1,
    ended: (attempt) => {
      if (!options.retry || !['errored', 'snoozed', 'released'].includes(attempt.outcome))
        ended.resolve(attempt)
    },
  })()
  const worker = errand.work(definition, { queues: [queue], label: 'errand run', signals: false })
  try {
    await worker.ready
    const handler = definition.handlers.find(({ job }) => job.name === name)
    if (!handler)
      throw unknownJob(
        name,
        definition.handlers.map(({ job }) => job.name),
      )
    let receipt: Receipt<unknown> | undefined
    let outcome: Ended | undefined
    await untilInterrupted(async (signal) => {
      // Before the dispatch: the handler may begin before this process learns that the job is stored.
      const interrupted = once(signal, 'abort').then(() => undefined)
      receipt = await send(errand, handler.job, payload, { queue })
      if (receipt.status === 'duplicate') {
        throw new ErrandError(
          'E_NOT_ALLOWED',
          `its unique key is held by job ${receipt.id}, which is not finished`,
        )
      }
      outcome = await Promise.race([ended.promise, worker.finished.then(() => undefined), interrupted])
    })
    const { id } = receipt!
    if (outcome?.outcome !== 'succeeded') {
      // Nobody else serves its queue: an unfinished job would wait for ever.
      await errand.jobs.cancel(id, {
        by,
        reason: outcome ? 'errand run makes one attempt' : 'interrupted',
      })
      await worker.stop({ grace: interruptedGrace })
    }
    return tell(terminal, await errand.jobs.get(id), outcome)
  } finally {
    await worker.stop({ grace: interruptedGrace })
    await errand.close()
  }
}

function tell(terminal: Terminal, job: JobDetails | undefined, ended: Ended | undefined): ExitCode {
  const succeeded = ended?.outcome === 'succeeded'
  if (terminal.json) {
    terminal.value({ id: job?.id, state: job?.state, result: job?.result, error: job?.error })
  } else if (succeeded) {
    if (ended.result !== undefined) terminal.value(ended.result)
  } else {
    const error = job?.error ? failureText(job.error) : ''
    const what = ended?.outcome ?? 'interrupted'
    terminal.note(`${terminal.notePaint('bad', what)}  ${harmless(error, 'many')}`.trimEnd())
  }
  if (ended === undefined) return exitCodes.interrupted
  return succeeded ? exitCodes.ok : exitCodes.failure
}

function unknownJob(name: string, known: readonly string[]): ErrandError {
  const there = known.length === 0 ? 'it handles none' : `it handles ${known.toSorted().join(', ')}`
  return new ErrandError('E_UNKNOWN_JOB', `this worker has no handler for ${JSON.stringify(name)}; ${there}`)
}
