import type { Encoded } from '../ports/codec.ts'
import type { Fence } from './claim.ts'
import type { ReleaseReason } from './release.ts'
import type { NewWait } from './memory.ts'
import type { StoredEventType, StoredState } from './state.ts'
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
  /** An error: the job runs again after `retryInMs`, or fails for good if that is undefined. Writes `errored` first in both cases. */
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
  /** Goes back to ready; the attempt does not count. A job with `onCrash: 'fail'` goes back only if `begun` is false. */
  | {
      readonly kind: 'release'
      readonly begun: boolean
      readonly why: ReleaseReason
      readonly error: Encoded
    }
  /**
   * The handler waits, and holds no slot meanwhile; the attempt does not count. The job goes on when the first of the waits is over.
   * At most 100 waits.
   */
  | {
      readonly kind: 'suspend'
      readonly waits: readonly NewWait[]
      /** The version of the handler's memory. */
      readonly memoryVersion: number
    }
  /** The handler completed the job in its own transaction. It has succeeded if the log has that, else it errored with this. */
  | { readonly kind: 'completed'; readonly error: Encoded; readonly retryInMs: number | undefined }

/** The log cannot record this settlement, now or ever. It records the others of the same call. The worker offers this one again. */
export type Refused = Fence & { readonly result: 'refused'; readonly why: string }

/** The log's answer to one settlement. A lost claim is a value. */
export type Settled = Fence & {
  /** `already`: this worker has settled this same run before (a lost reply). */
  readonly result: 'settled' | 'already' | 'claim-lost'
  /** The last event that it wrote (for `already`: that it had written). */
  readonly event: StoredEventType
  readonly state: StoredState
  /** When it runs again, if it does: ms since the epoch by the log's clock. */
  readonly runAt?: number | undefined
  /** Successors that became ready, and the job itself if it became ready. */
  readonly tickets: readonly Ticket[]
  /** A row of another job, key, limit or flow was locked. `passNotes` goes on a few milliseconds later, or the sweep does. */
  readonly pending: boolean
}
