import type { AnyJob, JobDefinition, JobOptions } from '../define/job.ts'
import type { Transaction } from '../ports/transaction.ts'

declare const types: unique symbol

/** Options of one dispatch. */
export type DispatchOptions = JobOptions & {
  /**
   * Your own transaction (pg, Kysely, Drizzle, Prisma, Knex, postgres.js, TypeORM, Sequelize, MikroORM, pg-promise, or a
   * synchronous SQLite connection on the log's file): the job exists if and only if it commits. A value that is no
   * transaction is refused with `E_TRANSACTION`, and most pools do not compile. Call `errand.wake()` after the commit, and the job starts at
   * once; without it, after the next sweep.
   */
  readonly tx?: Transaction | undefined
}

/** What `dispatch` answers: the job is durable (with `tx`: once that has committed). */
export interface Receipt<Result> {
  /**
   * The id of the job that was added; for a duplicate, that of the live job that holds the unique key or has this id; for a
   * replaced payload (`unique.debounce`), that of the job which has it now.
   */
  readonly id: string
  readonly status: 'added' | 'duplicate' | 'replaced'
  readonly [types]?: Result
}

/** Options of `ctx.dispatch`. */
export type ChildOptions = DispatchOptions &
  (
    | {
        /** Names the child for this job. The first run that gets there dispatches it, once, with any payload. */
        readonly once?: string | undefined
        readonly each?: never
      }
    | {
        /** `'run'`: each run of this job dispatches its own child. */
        readonly each?: 'run' | undefined
        readonly once?: never
      }
  )

/**
 * Creates a job. A rest tuple, not overloads: errors point at the wrong field.
 * @example const receipt = await errand.dispatch(makeThumbnail, { file }, { lane: 'high', delay: '10m' })
 */
export interface Dispatch<Options = DispatchOptions> {
  <In, Result>(
    job: JobDefinition<In, unknown, Result>,
    ...args: [In] extends [void]
      ? [payload?: undefined, options?: Options]
      : [payload: NoInfer<In>, options?: Options]
  ): Promise<Receipt<Result>>
}

/** A dispatch without the types of its job. */
export interface DispatchRequest {
  readonly job: AnyJob
  readonly payload: unknown
  readonly options: ChildOptions | undefined
}

/** The job whose handler dispatches: its id is recorded, and its meta is passed on. */
export interface Parent {
  readonly id: string
  readonly meta: Readonly<Record<string, string>>
  /** The id for a child without an id of its own, instead of a new one. */
  readonly childId?: ((child: Child) => string) | undefined
}

/** What makes one child of a job the same as another. Lane, time, tags and meta do not. */
export interface Child {
  readonly name: string
  readonly orderingKey: string | undefined
  readonly uniqueKey: string | undefined
  /** The payload, before its codec. */
  readonly json: string
}
