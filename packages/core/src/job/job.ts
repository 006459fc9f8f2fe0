import type { Encoded } from '../ports/codec.ts'
import type { LimitPlace } from '../ports/limits.ts'
import type { Lane } from './lane.ts'
import type { NewNeed } from './need.ts'
import type { QueueName } from './ticket.ts'

export type OnCrash = 'retry' | 'fail'
export type OnFailure = 'block' | 'skip'

/** How long a job waits for a newer payload. */
export interface Debounce {
  /** After the newest dispatch. */
  readonly waitMs: number
  /** After the first one. */
  readonly atMostMs: number
}

/** The part of the policy that the row stores, because the log must know it without the job definition. */
export interface StoredPolicy {
  /** Attempts, the first included. */
  readonly maxAttempts: number
  /** Runs that may end as `lost`. */
  readonly maxCrashes: number
  readonly onCrash: OnCrash
  /** How long one run may take. Infinity is stored as null. */
  readonly timeoutMs: number | null
}

/** A job as the dispatcher passes it to the log. */
export interface NewJob extends StoredPolicy {
  /** Any UUID; version 7 by default. */
  readonly id: string
  readonly name: string
  /** Version of the payload's shape. */
  readonly payloadVersion: number
  readonly queue: QueueName
  readonly lane: Lane
  readonly payload: Encoded
  readonly tags: readonly string[]
  /** For example trace, tenant or locale. Children get it too. */
  readonly meta: Readonly<Record<string, string>>
  readonly ordering?: { readonly key: string; readonly onFailure: OnFailure } | undefined
  readonly unique?:
    | { readonly key: string; readonly until: 'finished' | 'started'; readonly forMs?: number | undefined }
    | undefined
  /** Jobs of one queue and lane that have such a key are granted by turns, key by key. */
  readonly shareKey?: string | undefined
  /** Where it waits until it may start. */
  readonly limit?: LimitPlace | undefined
  /** When it becomes due: after a delay by the log's clock, or at a moment (ms since the epoch). Neither: at once. */
  readonly due?: { readonly delayMs: number } | { readonly at: number } | undefined
  /** Retries end this long after the dispatch. */
  readonly expiresMs?: number | undefined
  readonly parentId?: string | undefined
  /** The flow that it is a member of: one of the same call, or one that runs. */
  readonly flow?: string | undefined
  /** What must have ended before it may start; each is older than the job. At most 1,000. */
  readonly needs?: readonly NewNeed[] | undefined
  /** As a member: it does not count if it fails. */
  readonly mayFail?: boolean | undefined
  /** How long after it became ready the job counts as overdue, if no ticket has fetched it. 0: publish at the next sweep. */
  readonly publishGraceMs: number
}

/** The unchanging part of a job, as the log returns it. */
export interface StoredJob {
  readonly id: string
  readonly name: string
  readonly payloadVersion: number
  readonly queue: QueueName
  readonly lane: Lane
  readonly payload: Encoded
  readonly tags: readonly string[]
  readonly meta: Readonly<Record<string, string>>
  readonly orderingKey: string | undefined
  readonly parentId: string | undefined
  /** Milliseconds since the epoch, by the log's clock. */
  readonly dispatchedAt: number
}
