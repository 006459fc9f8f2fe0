import type { FlowRequest } from '../define/flow.ts'
import type { AnyJob, JobDefinition, JobOptions, OptionsWithNeeds, ResultOf } from '../define/job.ts'
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

/** What `dispatch` of a flow answers. `Result` is that of its members. */
export interface FlowReceipt<Result> {
  readonly kind: 'flow'
  readonly id: string
  /** `duplicate`: a flow with this id is stored already. */
  readonly status: 'added' | 'duplicate'
  /** With `onDuplicate: 'skip'`: the live jobs that hold the unique keys of members which were left out. */
  readonly skipped: readonly string[]
  readonly [types]?: { readonly members: Result }
}

/** Options of one dispatch of a flow. */
export interface DispatchFlowOptions {
  /** A UUID of your own for the flow. Dispatching the same id again is safe: it is a duplicate. Default: a new UUIDv7. */
  readonly id?: string | undefined
  /** As for a job: all of the flow exists if and only if your transaction commits. */
  readonly tx?: Transaction | undefined
  /**
   * When a live job holds the unique key of a member: `'refuse'` (default) stores nothing, `E_FLOW_DUPLICATE`. `'skip'` leaves the
   * member out. What needs it then needs the live job; the flow does not wait for that.
   */
  readonly onDuplicate?: 'refuse' | 'skip' | undefined
}

type JobArgs<J, Options> =
  J extends JobDefinition<infer In, infer _Out, infer _Result, infer N>
    ? [keyof N] extends [never]
      ? [In] extends [void]
        ? [payload?: undefined, options?: Options]
        : [payload: In, options?: Options]
      : [In] extends [void]
        ? [payload: undefined, ...options: OptionsWithNeeds<N, Options>]
        : [payload: In, ...options: OptionsWithNeeds<N, Options>]
    : [payload?: unknown, options?: Options]

/** What stands behind the job or flow in a dispatch. */
export type DispatchArgs<What, Options, OptionsOfFlow> =
  What extends FlowRequest<unknown> ? [options?: OptionsOfFlow] : JobArgs<What, Options>

export type ReceiptOf<What> =
  What extends FlowRequest<infer Result> ? FlowReceipt<Result> : Receipt<ResultOf<What>>

/** Options of `ctx.dispatch` of a flow. */
export type ChildFlowOptions = DispatchFlowOptions & Pick<ChildOptions, 'once' | 'each'>

/**
 * Creates a job, or all jobs of a flow. A rest tuple, not overloads: errors point at the wrong field.
 * @example const receipt = await errand.dispatch(makeThumbnail, { file }, { lane: 'high', delay: '10m' })
 * @example const receipt = await errand.dispatch(batch(files.map((file) => makeThumbnail.with({ file }))), { tx })
 */
export interface Dispatch<Options = DispatchOptions, OptionsOfFlow = DispatchFlowOptions> {
  <What extends AnyJob | FlowRequest<unknown>>(
    what: What,
    ...args: DispatchArgs<What, Options, OptionsOfFlow>
  ): Promise<ReceiptOf<What>>
}

/** A dispatch without the types of its job. */
export interface DispatchRequest {
  readonly job: AnyJob
  readonly payload: unknown
  readonly options: (ChildOptions & { readonly needs?: Readonly<Record<string, unknown>> }) | undefined
}

/** The job whose handler dispatches: its id is recorded, and its meta is passed on. */
export interface Parent {
  readonly id: string
  readonly meta: Readonly<Record<string, string>>
  /** The id for a child without an id of its own, instead of a new one. */
  readonly childId?: ((child: Child) => string) | undefined
  /** The ordering key that it holds while it waits for the end of what it dispatches. */
  readonly waitingWith?: { readonly queue: string; readonly orderingKey: string } | undefined
}

/** What makes one child of a job the same as another. Lane, time, tags and meta do not. */
export interface Child {
  readonly name: string
  readonly orderingKey: string | undefined
  readonly uniqueKey: string | undefined
  /** The payload, before its codec. */
  readonly json: string
}
