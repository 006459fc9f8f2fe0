import type { AnyJob, JobDefinition, JobOptions } from '../define/job.ts'
import type { Transaction } from '../ports/transaction.ts'

declare const types: unique symbol

/** Options of one dispatch. */
export type DispatchOptions = JobOptions & {
  /**
   * Your own transaction (pg, Kysely, Drizzle, Prisma, Knex, postgres.js, or a synchronous SQLite connection on the
   * log's file): the job exists if and only if it commits. A pool or client in its place does not compile, and is
   * refused with `E_TRANSACTION` where that can be seen. Call `errand.wake()` after the commit, and the job starts at
   * once; without it, after the next sweep.
   */
  readonly tx?: Transaction | undefined
}

/** What `dispatch` answers: the job is durable (with `tx`: once that has committed). */
export interface Receipt<Result> {
  /** Of the job that was added; for a duplicate, of the live job that holds the unique key, or has this id. */
  readonly id: string
  readonly status: 'added' | 'duplicate'
  readonly [types]?: Result
}

/**
 * Creates a job. A rest tuple, not overloads: errors point at the wrong field.
 * @example const receipt = await errand.dispatch(makeThumbnail, { file }, { lane: 'high', delay: '10m' })
 */
export interface Dispatch {
  <In, Result>(
    job: JobDefinition<In, unknown, Result>,
    ...args: [In] extends [void]
      ? [payload?: undefined, options?: DispatchOptions]
      : [payload: NoInfer<In>, options?: DispatchOptions]
  ): Promise<Receipt<Result>>
}

/** What a job is dispatched with, once the types have done their work. */
export interface DispatchRequest {
  readonly job: AnyJob
  readonly payload: unknown
  readonly options: DispatchOptions | undefined
}

/** The job whose handler dispatches: its id is recorded, its meta passed on. */
export interface Parent {
  readonly id: string
  readonly meta: Readonly<Record<string, string>>
}
