import type { Ticket } from '../job/ticket.ts'
import type { Note } from './operations.ts'

/** At most `burst` at once, and from then on one each `everyMs`. */
export interface Rate {
  readonly everyMs: number
  readonly burst: number
}

/** How many jobs of a limit may be ready or running, and how fast they are let go. What is missing is not limited. */
export interface LimitValues {
  readonly total?: number | undefined
  readonly perKey?: number | undefined
  readonly rate?: Rate | undefined
  readonly keyRate?: Rate | undefined
}

/** Where a job waits for its turn: a limit, and a key of it. The key is empty for a limit without keys. */
export interface LimitPlace {
  readonly name: string
  readonly key: string
}

/** What the log must know of a limit. All else is core's, in `body`. */
export interface LimitState {
  /** Undefined: no worker has declared it, and nothing of it is let go. */
  readonly values: LimitValues | undefined
  /** JSON that the log keeps as it is. */
  readonly body: string
}

/** Jobs of a limit, or of one of its keys. `waiting` is counted up to 10,000. */
export interface LimitCounts {
  readonly ready: number
  readonly running: number
  readonly waiting: number
  /** Undefined: it is open. */
  readonly closed: Closing | undefined
}

/** Nothing is let go before a moment: ms since the epoch. */
export interface Closing extends Note {
  readonly until: number
}

export interface LimitRecord extends LimitState, LimitCounts {
  readonly name: string
  /** Every change raises it. 0: jobs wait for it, and nobody has declared it. */
  readonly revision: number
}

export interface LimitKeyRecord extends LimitCounts {
  readonly key: string
}

export interface LimitChange {
  readonly name: string
  /** The revision that it had when it was read; 0: nobody had declared it. If it has another one by now, nothing happens. */
  readonly after: number
  /** Undefined: it is removed, and its jobs wait until it is declared again. */
  readonly to: LimitState | undefined
}

export interface LimitsSaved {
  /** For each change: false if somebody else was faster. */
  readonly saved: readonly boolean[]
  /** Of jobs that may go now. */
  readonly tickets: readonly Ticket[]
}

/** A key of a limit, or the limit as a whole, or the key of a job; the limit as a whole if the job's limit has no keys. */
export type LimitTarget =
  | { readonly name: string; readonly key?: string | undefined }
  | { readonly job: string }

/** Which keys of a limit are read. */
export interface LimitKeysWanted {
  readonly key?: string | undefined
  readonly closed?: boolean | undefined
  /** At most so many. */
  readonly limit: number
}

/** Jobs of one key are counted up to this number. */
export const mostAtLimitCounted = 10_000

/** Limits, as rows that change by comparing and setting, and the places that their jobs take. */
export interface Limits {
  /** All, or those of these names, by name; and the log's own time, ms since the epoch. */
  readLimits(
    names?: readonly string[],
  ): Promise<{ readonly now: number; readonly limits: readonly LimitRecord[] }>
  /** Writes those whose revision is still what it was, and lets go what may go now. */
  saveLimits(changes: readonly LimitChange[]): Promise<LimitsSaved>
  /**
   * Keys of a limit that have jobs, or are closed: those whose turn comes first, first. With `key` only that one, with `closed` only
   * those that are closed.
   */
  readLimitKeys(name: string, options: LimitKeysWanted): Promise<readonly LimitKeyRecord[]>
  /**
   * Nothing is let go for `forMs` milliseconds from now; 0 opens it again. A longer closing stays unless `forMs` is 0. Returns the
   * tickets of jobs that may go now, and whether there was such a limit: a job without one answers false.
   */
  closeLimit(
    target: LimitTarget,
    forMs: number,
    note: Note,
  ): Promise<{ readonly found: boolean; readonly tickets: readonly Ticket[] }>
}
