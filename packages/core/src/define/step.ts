import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { Duration } from '../duration.ts'
import type { Transaction } from '../ports/transaction.ts'
import type { DispatchArgs, DispatchFlowOptions } from '../dispatch/request.ts'
import type { FlowRequest } from './flow.ts'
import type { AnyJob, JobOptions, ResultOf } from './job.ts'
import type { MessageDefinition } from './message.ts'
import type { NeedEnd } from './need.ts'

/** What the function of a step gets. */
export interface Step {
  /** The same in every run. Pass it to systems that must not act twice. */
  readonly idempotencyKey: string
}

export interface StepOptions<T, Out> {
  /**
   * Your own transaction on the log's database. What the step writes in it and the record of the step commit together: exactly
   * once. All of it goes through the transaction, each time it is called, so a transaction that was rolled back may be
   * repeated with the same step.
   */
  readonly tx?: Transaction | undefined
  /** The schema of the result: any Standard Schema. It parses what is remembered, also in the run that made it. */
  readonly returns?: StandardSchemaV1<T, Out> | undefined
}

/**
 * Runs a part of the handler once: later runs of the job get its result instead. Its name is its identity, so steps may be
 * reordered, added and removed while jobs are alive; a step that is renamed runs again. A step that throws is not remembered.
 * If the process dies after the step has acted and before the log has kept that, the step runs again: pass on
 * `step.idempotencyKey`, or write with `tx`.
 * @throws `E_STEP_NAME`, `E_STEP_NESTED`, `E_STEP_RESULT`, `E_STEP_TOO_LARGE`, `E_STEP_LIMIT`; with `tx` also `E_CLAIM_LOST`
 * @example const charge = await ctx.step('charge', ({ idempotencyKey }) => pay(order, { idempotencyKey }))
 */
export type RunStep = <T, Out = T>(
  name: string,
  run: (step: Step) => T | Promise<T>,
  options?: StepOptions<NoInfer<T>, Out>,
) => Promise<Out>

/**
 * Waits. More than a second is waited without a slot: the run ends as `suspended`, and a later run goes on behind this call.
 * The end is fixed at the first call and never moves.
 * @throws `E_DURATION`, `E_OPTION`, `E_STEP_NAME`, `E_STEP_NESTED`, `E_STEP_LIMIT`
 * @example await ctx.sleep('cool-off', '14d')
 */
export type Sleep = (name: string, how: Duration | { readonly until: Date }) => Promise<void>

/**
 * Waits for a message that `errand.jobs.send` sends to this job, without a slot. One that came before is not lost. With a
 * `timeout`, undefined when the time is over.
 * @throws `E_DURATION`, `E_OPTION`, `E_STEP_NAME`, `E_STEP_NESTED`, `E_STEP_LIMIT`, `E_STEP_RESULT`
 * @example const ok = await ctx.receive('approval', approved, { timeout: '3d' })
 */
export interface Receive {
  <Out>(name: string, message: MessageDefinition<never, Out>): Promise<Out>
  <Out>(
    name: string,
    message: MessageDefinition<never, Out>,
    options: { readonly timeout: Duration },
  ): Promise<Out | undefined>
}

/** Options of a job that a handler calls. Its id follows from the call. */
export type CallOptions = JobOptions & { readonly id?: never }

/** Options of a flow that a handler calls. */
export interface CallFlowOptions extends Pick<DispatchFlowOptions, 'onDuplicate'> {
  /** Gives how each member has ended, also if the flow has failed. Default false. */
  readonly settled?: boolean | undefined
}

/** What a call gives: the result of a job; those of the members of a flow that have succeeded, in their order. */
export type CalledOf<What> = What extends FlowRequest<infer Result> ? readonly Result[] : ResultOf<What>

/**
 * Dispatches a job, or a flow, and waits for its end, without a slot. It is made once, however often the code runs. A flow is
 * one wait, however many members it has.
 * @throws `E_CALL_FAILED` if it failed or was cancelled, `E_CALL_DEADLOCK` if it would wait for this job: uncaught, this job fails
 * for good. Otherwise as `dispatch`; and
 * `E_STEP_NAME`, `E_STEP_NESTED`, `E_STEP_LIMIT`, `E_STEP_RESULT`
 * @example const { url } = await ctx.call('label', printLabel, { order })
 * @example const mails = await ctx.call('mails', batch(people.map((to) => sendMail.with({ to }))), { settled: true })
 */
export interface Call {
  <Result>(
    name: string,
    flow: FlowRequest<Result>,
    options: CallFlowOptions & { readonly settled: true },
  ): Promise<readonly NeedEnd<Result>[]>
  <What extends AnyJob | FlowRequest<unknown>>(
    name: string,
    what: What,
    ...args: DispatchArgs<What, CallOptions, CallFlowOptions>
  ): Promise<CalledOf<What>>
}
