import type { ResolvedWorker, WorkerDefinition } from '../define/worker.ts'
import { shutdownError } from '../errors.ts'
import type { WorkerRef } from '../job/claim.ts'
import type { Clock } from '../ports/clock.ts'
import type { WorkerDeps } from './deps.ts'
import type { Heartbeat } from './lease/heartbeat.ts'
import type { Runs } from './run/runs.ts'
import type { Settler } from './run/settler.ts'

export interface ShutdownParts {
  readonly deps: WorkerDeps
  readonly worker: ResolvedWorker
  readonly ref: WorkerRef
  readonly runs: Runs
  readonly settler: Settler
  readonly heartbeat: Heartbeat
  /** Stops asking for jobs. Resolves when every ticket has been handed back. Undefined if nothing was begun. */
  readonly stopFeeds: () => Promise<unknown> | undefined
  readonly stopRelay: () => Promise<unknown> | undefined
  /** Aborts when there is no more time: a second signal. */
  readonly hurry: AbortSignal
}

/** How a worker stopped. `deaf` counts handlers that ignored their abort signals and may still be running. */
export interface Shutdown {
  readonly failed: boolean
  readonly deaf: number
}

/** Time for handlers to end after their signal has aborted; the second number is for a hurry. */
const abortedMs = 2_000
const hurriedMs = 500
/** Time for the log to record the last outcomes, for the user's `stop`, and for the other parts to end. */
const lastWordMs = 5_000

/**
 * Takes no more jobs, lets running ones finish within the grace, then aborts them. Jobs whose handlers ignore that are
 * given back last. Resolves with their number: their code may still be running.
 */
export async function shutDown(parts: ShutdownParts, graceMs: number): Promise<number> {
  const { deps, worker, ref, runs, settler, heartbeat, hurry } = parts
  const { clock, logger } = deps
  const within = (ms: number, done: Promise<unknown> | undefined, signal?: AbortSignal): Promise<void> =>
    waitFor(done, ms, clock, signal)
  const empty = (): Promise<void> => runs.until(() => runs.count === 0)

  const fed = parts.stopFeeds()
  await within(graceMs, Promise.all([fed, empty()]), hurry)
  for (const run of runs) run.abort(shutdownError('the worker stops and its grace is over'))
  if (runs.count > 0) await within(hurry.aborted ? hurriedMs : abortedMs, empty())

  await within(lastWordMs, parts.stopRelay())
  await within(lastWordMs, stopUsers(worker, logger))

  const deaf = [...runs].filter((run) => !run.ended)
  for (const run of deaf) {
    logger.error(
      { job: run.claim.id, name: run.claim.job.name },
      'a handler ignored its abort signal while the worker stopped; its job is given back',
    )
    run.leaveBehind()
  }
  await within(lastWordMs, empty())
  settler.giveUp()
  await within(lastWordMs, settler.close())
  await within(lastWordMs, heartbeat.stop())
  if (heartbeat.hasBeaten) await within(lastWordMs, leave())
  return deaf.length

  async function leave(): Promise<void> {
    try {
      await deps.log.leave(ref)
    } catch (error) {
      logger.warn(
        { err: error },
        'the worker could not remove its row; sweeps delete the row when its lease has run out',
      )
    }
  }
}

/** Waits until `done` settles, `ms` have passed, or the signal aborts. */
export async function waitFor(
  done: Promise<unknown> | undefined,
  ms: number,
  clock: Clock,
  signal?: AbortSignal,
): Promise<void> {
  const enough = new AbortController()
  const signals = signal ? [enough.signal, signal] : [enough.signal]
  await Promise.race([done, clock.sleep(ms, AbortSignal.any(signals))])
  enough.abort()
}

/** Lets the application close what it opened for its worker. Never rejects. */
export async function stopUsers(
  worker: Pick<WorkerDefinition, 'stop'>,
  logger: WorkerDeps['logger'],
): Promise<void> {
  try {
    await worker.stop?.()
  } catch (error) {
    logger.error({ err: error }, "the worker definition's stop threw")
  }
}
