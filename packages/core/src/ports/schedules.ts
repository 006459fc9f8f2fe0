import type { NewJob } from '../job/job.ts'
import type { Appended } from './job-log.ts'
import type { Transaction } from './transaction.ts'

/** What the log must know of a schedule to find it when it is due. All else is core's, in `body`. */
export interface ScheduleState {
  /** When there is something to do for it: ms since the epoch, by the log's clock. Undefined: not until it is changed. */
  readonly dueAt: number | undefined
  /** The name of its job. */
  readonly job: string
  /** Only workers that name it tick it. False: every worker that knows its job does. */
  readonly isDeclared: boolean
  /** The id of the worker that declared it last. */
  readonly declaredBy: string | undefined
  /** JSON that the log keeps as it is. */
  readonly body: string
}

export interface ScheduleRecord extends ScheduleState {
  readonly name: string
  /**
   * Every change raises it. The first one is by chance, from 1 up to 2^30: who has read a schedule that was removed must not take
   * the next one of its name for it.
   */
  readonly revision: number
  /** Whether the worker in `declaredBy` lives. */
  readonly declarerLives: boolean
}

export interface ScheduleChange {
  readonly name: string
  /** The revision that it had when it was read; 0: there was none. If it has another one by now, nothing happens. */
  readonly after: number
  /** Undefined: it is removed. */
  readonly to: ScheduleState | undefined
  /** A job that is stored with the change, or not at all. */
  readonly job?: NewJob | undefined
}

/** What became of a change. */
export interface ScheduleSaved {
  /** False: somebody else was faster, or another transaction has locked it. */
  readonly saved: boolean
  /** The answer for its job, if it was saved and had one. A job that cannot be stored is `refused`, and the change is saved. */
  readonly appended?: Appended | undefined
}

/** The schedules that a worker may tick. */
export interface KnownSchedules {
  /** Names of those that it declares. */
  readonly names: readonly string[]
  /** Names of the jobs that it handles. */
  readonly jobs: readonly string[]
}

/** Schedules, as rows that change by comparing and setting. What they mean, and when they tick, is decided in core. */
export interface Schedules {
  /**
   * All, or those of these names, by name; and the log's own time, ms since the epoch. With `tx` as the caller's transaction sees
   * them.
   */
  readSchedules(
    names?: readonly string[],
    tx?: Transaction,
  ): Promise<{ readonly now: number; readonly schedules: readonly ScheduleRecord[] }>
  /**
   * Writes those whose revision is still what it was, each with its job, in one transaction. One answer for each, in their
   * order. It does not wait for rows that another transaction has locked, so that nobody's open transaction holds up the ticks of
   * others. With `tx` it is a statement of the caller's transaction: it waits for them, and a job that cannot be stored makes it
   * throw, as `append` does.
   */
  saveSchedules(changes: readonly ScheduleChange[], tx?: Transaction): Promise<readonly ScheduleSaved[]>
}
