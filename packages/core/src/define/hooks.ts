import type { Failure } from '../failure/failure.ts'
import type { FailureCause } from '../job/outcome.ts'
import type { ReleaseReason } from '../job/release.ts'
import type { Maybe } from './handler.ts'
import type { JobView } from './view.ts'

/** What a hook gets about a run. */
export interface AttemptInfo {
  readonly job: JobView
  readonly attempt: number
  /** The worker's id. */
  readonly worker: string
}

/** How a run ended, as the log recorded it. */
export type Ended = { readonly durationMs: number } & (
  | { readonly outcome: 'succeeded'; readonly result: unknown }
  | { readonly outcome: 'errored'; readonly error: Failure; readonly retryAt: Date }
  | { readonly outcome: 'failed'; readonly error: Failure }
  | { readonly outcome: 'snoozed'; readonly until: Date }
  /** It waits for these steps or messages, and a later run goes on. */
  | { readonly outcome: 'suspended'; readonly waits: readonly string[] }
  | { readonly outcome: 'released'; readonly why: ReleaseReason | undefined }
  | { readonly outcome: 'cancelled' | 'fenced' }
)

/** A job that failed for good, and why. */
export interface FailedInfo {
  readonly job: JobView
  readonly error: Failure
  readonly cause: FailureCause
}

/**
 * Called in the worker's process, in order, awaited, each with a deadline of 10 s. A hook can be missed. Follow the log's
 * events for what must never be missed.
 */
export interface Hooks {
  /** After the claim, before the handler, every run. A throw errors the attempt. */
  readonly before?: ((attempt: AttemptInfo) => Maybe<void>) | undefined
  /** Once per run, with the outcome that was recorded (`fenced` if none). A throw is logged. */
  readonly after?: ((attempt: AttemptInfo & Ended) => Maybe<void>) | undefined
  /** When a job fails for good, whether this worker ran it or found it lost. A throw is logged. */
  readonly failing?: ((failed: FailedInfo) => Maybe<void>) | undefined
  /** Before each ask for deliveries: `false` skips this pass. A throw is logged. */
  readonly looping?:
    | ((loop: { readonly worker: string; readonly free: number }) => Maybe<void | false>)
    | undefined
}
