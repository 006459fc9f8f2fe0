import type { NewMessage, StoredStep, UnreadMessage } from '../job/memory.ts'
import type { StoredState } from '../job/state.ts'

/** A step or a wait with its job. */
export interface StepRow extends StoredStep {
  readonly job: string
}

/** How much a job remembers. */
export interface StepTotals {
  /** Steps and waits, also those that are not over. */
  readonly steps: number
  /** The greatest `order`; 0: nothing is completed. */
  readonly order: number
  /** The length of all bodies. */
  readonly characters: number
}

/** The part of the store that is about what jobs remember. Rules ask it only about jobs that use it. */
export interface StepStore {
  step(job: string, name: string): StoredStep | undefined
  stepTotals(job: string): StepTotals
  /** All of them: by `order`, and then those that are not over, as `openWaits` has them. */
  steps(job: string): StoredStep[]
  /** Those that are not over, in the order in which they were stored. */
  openWaits(job: string): StoredStep[]
  /** Stores it, or replaces the one of the same name. */
  saveStep(step: StepRow): void
  /** Unread messages of this name (undefined: of all), the oldest first. */
  unread(job: string, name: string | undefined, limit: number): UnreadMessage[]
  countUnread(job: string): number
  /** Whether a message with this id was stored, also if a wait has taken it. */
  hasMessage(job: string, id: string): boolean
  addMessage(message: NewMessage, at: number): void
  /** It is not unread any more. The wait that has taken it keeps its id. */
  takeMessage(job: string, id: string): void
  /** Deletes steps, waits and messages of these jobs. */
  forget(jobs: readonly string[]): void
  /** The state of a job, as a plain read: another transaction may be changing it. */
  stateOf(job: string): StoredState | undefined
}
