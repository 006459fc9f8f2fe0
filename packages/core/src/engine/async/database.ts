import type { Transaction } from '../../ports/transaction.ts'
import type { Changes } from './changes.ts'
import type { Answer, Question } from './questions.ts'

/**
 * Which of the rows that it reads a writing transaction locks. Three things are always the same. Jobs of a list (`ready`,
 * `due` and so on) are locked, and those that others have locked are left out. Unique keys and schedules by their names are locked. `running` locks the limit of its queue, and counts in a later statement. What jobs remember is read in a later statement than the jobs are locked, and so is `stateOf`, which locks nothing. `claimsOf` locks
 * nothing and leaves nothing out.
 */
export interface Locks {
  /** Jobs by their ids: waits for those that others have locked, or passes them over and answers `locked`. */
  readonly jobs: 'wait' | 'pass'
  /** Ordering keys: the same. The jobs in the answer are locked too. */
  readonly keys: 'wait' | 'pass'
  /** Limits by their names, as jobs. One that a transaction waits for is locked before everything else. */
  readonly limits: 'wait' | 'pass'
  /** Flows by their ids: the same, after jobs. */
  readonly flows: 'wait' | 'pass'
  /** Whether the facts are locked. */
  readonly facts: boolean
  /** Whether workers are locked. */
  readonly workers: boolean
}

/** A transaction on the log's database. */
export interface AsyncTransaction {
  /** The log's own time, ms since the epoch: one for the whole transaction. */
  readonly now: number
  /**
   * Answers all questions, best in one round trip. With `locks` it locks in this order, and reads in a later statement than it
   * locks: unique keys; ordering keys, those of `keyOf` too, by queue and key; jobs by id. Without, it locks nothing.
   * @throws DamagedRow for a row that cannot be read
   */
  read(questions: readonly Question[], locks: Locks | undefined): Promise<readonly Answer[]>
  /** Writes everything in one batch. @throws DamagedRow for a row that cannot be stored */
  write(changes: Changes): Promise<void>
  /** As in `JobStore`: whether data was the cause of what a rule threw. */
  isRefusedData(error: unknown): boolean
}

/** A database that answers asynchronously, as `asyncHost` needs it. */
export interface AsyncDatabase {
  /**
   * Runs the work in a transaction of its own and commits. If the database took the transaction back (a deadlock, a
   * serialization failure, a key that another transaction has just stored), it runs the work again from the start.
   */
  write<T>(work: (transaction: AsyncTransaction) => Promise<T>): Promise<T>
  /** Runs the work on one snapshot. */
  read<T>(work: (transaction: AsyncTransaction) => Promise<T>): Promise<T>
  /** The caller's own transaction. @throws `E_TRANSACTION` if it is none of this database */
  join(tx: Transaction): AsyncTransaction | Promise<AsyncTransaction>
}
