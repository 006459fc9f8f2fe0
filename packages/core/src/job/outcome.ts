import type { Encoded } from '../ports/codec.ts'
import type { Fence } from './claim.ts'
import type { ReleaseReason } from './release.ts'
import type { EventType, JobState } from './state.ts'
import type { Ticket } from './ticket.ts'

/** Why a job failed for good. */
export type FailureCause = 'error' | 'timeout' | 'lost' | 'payload' | 'unknown-job'

/** How a run ended, as the worker offers it to the log. The fence decides whether it counts. */
export type Settlement = Fence & {
  readonly durationMs: number
  readonly outcome: SettledOutcome
}

export type SettledOutcome =
  | { readonly kind: 'succeed'; readonly result?: Encoded | undefined }
  /** An error: runs again after `retryInMs`, or fails for good where that is undefined. Writes `errored` first in both cases. */
  | {
      readonly kind: 'error'
      readonly error: Encoded
      readonly cause: FailureCause
      readonly retryInMs: number | undefined
    }
  /** Fails for good without an `errored`: the handler said so. */
  | { readonly kind: 'fail'; readonly error: Encoded; readonly cause: FailureCause }
  /** Runs again later; the attempt does not count. `parked`: no worker knew its name, or its payload did not fit. */
  | {
      readonly kind: 'snooze'
      readonly delayMs: number
      readonly reason?: string | undefined
      readonly parked?: boolean | undefined
    }
  | { readonly kind: 'cancel'; readonly reason?: string | undefined }
  /** Goes back to ready; the attempt does not count. Of an `onCrash: 'fail'` job only where `begun` is false. */
  | {
      readonly kind: 'release'
      readonly begun: boolean
      readonly why: ReleaseReason
      readonly error: Encoded
    }
  /** The handler completed it in its own transaction: succeeded if that is in the log, else errored with this. */
  | { readonly kind: 'completed'; readonly error: Encoded; readonly retryInMs: number | undefined }

/** The log cannot record this settlement now, or ever; its neighbours of the same call are recorded. It is offered again. */
export type Refused = Fence & { readonly result: 'refused'; readonly why: string }

/** The log's answer to one settlement. A lost claim is a value. */
export type Settled = Fence & {
  /** `already`: this very run was settled before by this worker (a lost reply). */
  readonly result: 'settled' | 'already' | 'claim-lost'
  /** The last event that it wrote (for `already`: that it had written). */
  readonly event: EventType
  readonly state: JobState
  /** When it runs again, ms since the epoch by the log's clock, where it does. */
  readonly runAt?: number | undefined
  /** Successors that became ready, and the job itself where it did. */
  readonly tickets: readonly Ticket[]
  /** The key's row was locked: it is passed on by `passKeys` a few milliseconds later, or by the sweep. */
  readonly keyPending: boolean
}
