import type { Worker, WorkerDefinition } from '@errand/core'
import { isErrandError, loadDefaultLogger } from '@errand/core/ports'
import type { Logger } from '@errand/core/ports'
import { loadWorker } from '../application/definitions.ts'
import { openErrand } from '../application/open.ts'
import { preload } from '../application/preload.ts'
import { loadProject, workerFile } from '../application/project.ts'
import { action } from '../command.ts'
import type { Command, GlobalOptions, Invocation } from '../command.ts'
import type { ExitCode } from '../exit-codes.ts'
import { exitCodes } from '../exit-codes.ts'
import { bytes, concurrency, duration, list, path, positiveNumber } from '../options/parse.ts'
import { humanLogger, withoutEnds } from '../output/logger.ts'
import { onOutputError } from '../output/terminal.ts'
import type { Terminal } from '../output/terminal.ts'
import { onEarlySignal } from './work/early-stop.ts'
import { limitReached } from './work/limits.ts'
import { isStartedByRunner, onParentGone } from './work/parent.ts'
import { Progress } from './work/progress.ts'
import { newDrainState, observeWorker } from './work/drain-state.ts'
import { runWatched } from './work/watch.ts'

interface Options {
  readonly queues?: readonly string[] | undefined
  readonly concurrency?: WorkerDefinition['concurrency']
  readonly label?: string | undefined
  readonly once?: boolean | undefined
  readonly stopWhenEmpty?: boolean | undefined
  readonly maxJobs?: number | undefined
  readonly maxTime?: number | undefined
  readonly maxRss?: number | undefined
  readonly import?: readonly string[] | undefined
  readonly stopWithParent?: boolean | undefined
  readonly watch?: boolean | undefined
}

export function work(program: Command): void {
  const command = program
    .command('work')
    .description('run jobs, until SIGTERM or Ctrl-C; running ones may then finish within the grace')
    .argument(
      '[worker]',
      "the worker's file (default: worker of errand.config.ts, or worker.ts beside it)",
      path,
    )
    .option('--queues <names>', 'serve only these queues, between commas', list)
    .option('--concurrency <slots>', 'jobs at a time: 4, or media=4,*=10', concurrency)
    .option('--label <name>', 'a name for people, in `errand workers list`')
    .option('--once', 'run one job that is ready, then stop; stop at once when none is')
    .option('--stop-when-empty', 'stop when no job is ready and none runs')
    .option(
      '--max-jobs <number>',
      'stop after starting this many jobs; running ones finish first',
      positiveNumber,
    )
    .option('--max-time <duration>', 'stop after this time (1h); running jobs finish first', duration)
    .option(
      '--max-rss <size>',
      'stop when the process uses this much memory (512mb); running jobs finish first',
      bytes,
    )
    .option('--import <module>', 'load this first, as `node --import`; may be repeated', collect)
    .option(
      '--stop-with-parent',
      'stop when the process that started it has gone (default where npm, npx, pnpm, yarn or bun did)',
    )
    .option('--no-stop-with-parent', 'keep running when that process has gone')
    .option('--watch', 'start again when a file that it uses has changed, as `node --watch`')
  action<Options, [string | undefined]>(command, (invocation, options, file) => {
    if (options.watch) return runWatched(process.argv.slice(2), options.stopWithParent ?? isStartedByRunner())
    return runWorker(invocation, options, file)
  })
}

async function runWorker(
  { terminal, global }: Invocation,
  options: Options & GlobalOptions,
  file: string | undefined,
): Promise<ExitCode> {
  const progress = new Progress(terminal)
  goOnWithoutOutput(terminal)
  let worker: Worker | undefined
  const forgetSignals = onEarlySignal(() => {
    if (worker) {
      void worker.stop()
      return
    }
    progress.end('before it took jobs')
    process.exit(exitCodes.ok)
  })
  // Runs however the process ends. A handler that ignores the signal lets it end at once.
  process.once('exit', () => progress.end())
  await preload(options.import ?? [])
  const project = await loadProject(global)
  const source = await loadWorker(workerFile(project, file))

  const drain = newDrainState()
  const once = options.once === true
  const maxJobs = once ? 1 : options.maxJobs
  const limits = {
    maxTimeMs: options.maxTime,
    maxRssBytes: options.maxRss,
    stopWhenEmpty: once || options.stopWhenEmpty,
    queues: options.queues,
  }
  const errand = await openErrand(project, project.config.logger ?? (await createLogger(progress, options)))
  const definition = observeWorker(source, drain, {
    concurrency: once ? 1 : options.concurrency,
    isLimited: [limits.maxTimeMs, limits.maxRssBytes].some((limit) => limit !== undefined),
    // Only if somebody sees it: the slot of a run waits for its hooks.
    ended: progress.shown ? (attempt) => progress.ended(attempt) : undefined,
  })
  const { queues, label } = options
  const started = errand.work(definition, { queues, label, maxJobs, signals: true })
  worker = started
  const stopped = new AbortController()
  const orphaned = Promise.withResolvers<string>()
  const forgetParent =
    (options.stopWithParent ?? isStartedByRunner())
      ? onParentGone(() => orphaned.resolve('the process that started it has gone'))
      : undefined
  try {
    await started.ready.catch(unlessStopped)
    forgetSignals()
    progress.begin(started)
    const limit = limitReached(started, errand, drain, limits, stopped.signal)
    // A worker that gives up must not wait for a limit. Neither must one that has run as many jobs as it may.
    const ended = started.finished.then(() => (maxJobs === undefined ? undefined : ranAll(started, maxJobs)))
    const reason = await Promise.race([limit, ended, orphaned.promise])
    await started.stop()
    progress.end(reason)
    await started.finished
  } finally {
    stopped.abort()
    forgetParent?.()
    progress.end()
    await errand.close()
  }
  return exitCodes.ok
}

/** A worker goes on if nobody reads its output, or if it cannot be written. */
function goOnWithoutOutput(terminal: Terminal): void {
  let told = false
  onOutputError({
    closed: () => {},
    failed: ({ code, message }) => {
      if (!told) terminal.note(`${terminal.notePaint('bad', code)}  ${message}; the worker goes on`)
      told = true
    },
  })
}

/** If a worker was stopped while it started, `E_SHUTDOWN` is no failure. */
function unlessStopped(error: unknown): void {
  if (!isErrandError(error, 'E_SHUTDOWN')) throw error
}

function ranAll(worker: Worker, maxJobs: number): string | undefined {
  const ran = Object.values(worker.health().ended).reduce((sum, count) => sum + count, 0)
  return ran < maxJobs ? undefined : ran === 1 ? 'one job was run' : `${ran} jobs were run`
}

/**
 * On a terminal, lines for people above the status line. Otherwise pino's JSON on stdout, because the process does
 * nothing else.
 */
async function createLogger(progress: Progress, options: GlobalOptions): Promise<Logger> {
  if (!progress.shown) return loadDefaultLogger(process.env, 'stdout')
  return withoutEnds(
    humanLogger(options.verbose ? 'debug' : 'info', (line) => progress.write(line), ['worker']),
  )
}

function collect(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value]
}
