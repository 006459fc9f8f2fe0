import type { Failure } from '../failure/failure.ts'
import type { Claim } from '../job/claim.ts'
import type { Refused, Settled, Settlement } from '../job/outcome.ts'
import type { QueueName, Ticket } from '../job/ticket.ts'
import type { PublishReport } from '../ports/driver.ts'
import type { SweepReport } from '../ports/job-log.ts'

/** `errand:dispatch`: one call of `dispatch`, `dispatchMany` or `ctx.dispatch`, until the jobs are durable and published. */
export interface DispatchContext {
  /** The names of the jobs, in the order of the call. Of a flow its own name alone, or `flow`. */
  readonly names: readonly string[]
  /** The job whose handler dispatches. */
  readonly parentId: string | undefined
  /** Written by an observer at the start: becomes part of the jobs' meta, below what the call itself gives. */
  readonly meta: Record<string, string>
  /** Known at the end, one for each name. */
  receipts?: readonly { readonly id: string; readonly status: 'added' | 'duplicate' | 'replaced' }[]
  error?: unknown
}

/** `errand:publish`: one batch of tickets on its way to the broker. */
export interface PublishContext {
  readonly driver: string
  readonly tickets: readonly Ticket[]
  report?: PublishReport
  error?: unknown
}

/** `errand:claim`: one request for jobs. */
export interface ClaimContext {
  readonly worker: string
  readonly queues: readonly QueueName[]
  /** How many tickets are claimed with it; undefined if jobs are taken without tickets. */
  readonly tickets: number | undefined
  readonly max: number
  /** The jobs that were granted. */
  claims?: readonly Claim[]
  error?: unknown
}

/** How a run ended, as far as the worker decides it. */
export type RunOutcome =
  | 'succeeded'
  | 'errored'
  | 'failed'
  | 'snoozed'
  | 'suspended'
  | 'cancelled'
  | 'released'

/** `errand:run`: one run of a handler with its `before` hooks and middleware. The handler runs inside what is bound to `start`. */
export interface RunContext {
  readonly worker: string
  readonly claim: Claim
  outcome?: RunOutcome
  /** Why it did not succeed. */
  failure?: Failure
  error?: unknown
}

/** `errand:settle`: one batch of outcomes on its way to the log. */
export interface SettleContext {
  readonly worker: string
  readonly settlements: readonly Settlement[]
  /** What the log recorded, one for each; it may refuse one alone. */
  settled?: readonly (Settled | Refused)[]
  error?: unknown
}

/** `errand:sweep`: one look of a relay at the log. */
export interface SweepContext {
  /** The queues whose tickets it may publish again. */
  readonly queues: readonly QueueName[]
  report?: SweepReport
  error?: unknown
}
