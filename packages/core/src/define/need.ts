import type { FlowReceipt, Receipt } from '../dispatch/request.ts'
import { ErrandError } from '../errors.ts'
import type { NeedMode } from '../job/need.ts'
import { describe } from '../options.ts'
import type { AnyJob, ResultOf } from './job.ts'

declare const refOf: unique symbol

/** A job of a flow that is being built: what `f.job` returns. */
export interface Ref<Result> {
  readonly [refOf]: { readonly one: Result }
}

/** A flow inside a flow that is being built: what `f.batch` and `f.flow` return. `Result` is that of its members. */
export interface ManyRef<Result> {
  readonly [refOf]: { readonly many: Result }
}

/** What a job can wait for: a job or flow of the same flow, or one that was dispatched before, also by its id alone. */
export type Needed = Ref<unknown> | ManyRef<unknown> | Receipt<unknown> | FlowReceipt<unknown> | string

/** In `needs` of a definition: the results of all members of a flow. Made by `many`. */
export interface Many<J> {
  readonly many: J
}

/** In `needs` of a definition, or in `after`: the job runs however that ends. Made by `ended`. */
export interface EndedNeed<X> {
  readonly ended: X
}

/** What a job needs, by name: the jobs whose results its handler is given. */
export type Needs = Readonly<Record<string, AnyJob | Many<AnyJob> | EndedNeed<AnyJob>>>
/** Of a definition that needs nothing: it has no properties. */
// oxlint-disable-next-line typescript/no-generated-empty-object-type -- a mapped type keeps what has no needs apart by `keyof`
export type NoNeeds = Readonly<Record<never, never>>

/** How something has ended that was needed however it ends. */
export type NeedEnd<Result> =
  | { readonly state: 'succeeded'; readonly result: Result }
  | {
      readonly state: 'failed' | 'cancelled'
      /** Missing if none was recorded, as for a job that was cancelled before it ran. */
      readonly error?: Error
    }

type RefFor<N> =
  N extends Many<infer J>
    ? ManyRef<ResultOf<J>> | FlowReceipt<ResultOf<J>>
    : N extends EndedNeed<infer J>
      ? Ref<ResultOf<J>> | Receipt<ResultOf<J>>
      : Ref<ResultOf<N>> | Receipt<ResultOf<N>>

/** What a dispatch gives for the needs of a definition. */
export type NeedRefs<N> = { readonly [K in keyof N]: RefFor<N[K]> }

/** What a handler reads them with. */
export type NeedReaders<N> = {
  readonly [K in keyof N]: N[K] extends Many<infer J>
    ? () => AsyncIterable<{ readonly index: number; readonly result: ResultOf<J> }>
    : N[K] extends EndedNeed<infer J>
      ? () => Promise<NeedEnd<ResultOf<J>>>
      : () => Promise<ResultOf<N[K]>>
}

/**
 * In `needs` of a definition: the job needs a flow whose members are such jobs, as a batch is.
 * @example defineJob({ name: 'report.build', needs: { pages: many(renderPage) } })
 */
export function many<J extends AnyJob>(job: J): Many<J> {
  return Object.freeze({ many: job })
}

/**
 * The job runs however that ends, also if it fails or is cancelled. In `needs` of a definition its handler is told how it ended; in
 * `after` of a dispatch it is about order alone. A member of a flow that another member needs like this may fail: it does not count.
 * @example defineJob({ name: 'report.build', needs: { audit: ended(auditBooks) } })
 * @example f.job(archive, { month }, { after: [pages, ended(audit)] })
 */
export function ended<X extends AnyJob | Needed>(what: X): EndedNeed<X> {
  return Object.freeze({ ended: what })
}

/** A need of a definition, checked. */
export interface ResolvedNeed {
  readonly name: string
  /** What its reader gives: a result, the results of a flow, or how it ended. */
  readonly kind: 'one' | 'many' | 'ended'
  readonly mode: NeedMode
}

/** Edges from a flow to its callbacks have these names. */
export const callbackModes: Readonly<Record<'onSuccess' | 'onFailure' | 'onEnd', NeedMode>> = {
  onSuccess: 'succeeded',
  onFailure: 'unsuccessful',
  onEnd: 'ended',
}

const longestName = 64

/** Undefined: it needs nothing by name. @throws `E_OPTION` */
export function resolveNeeds(at: string, needs: unknown): readonly ResolvedNeed[] | undefined {
  if (needs === undefined) return undefined
  if (typeof needs !== 'object' || needs === null || Array.isArray(needs))
    throw new ErrandError('E_OPTION', `${at} needs is ${describe(needs)}; use { name: job }`)
  const resolved = Object.entries(needs).map(([name, need]) => resolveNeed(at, name, need))
  return resolved.length === 0 ? undefined : Object.freeze(resolved)
}

function resolveNeed(at: string, name: string, need: unknown): ResolvedNeed {
  if (Object.hasOwn(callbackModes, name))
    throw new ErrandError('E_OPTION', `${at} has a need "${name}": callbacks of flows have this name`)
  if (name === '' || name.length > longestName)
    throw new ErrandError(
      'E_OPTION',
      `${at} has a need whose name is not 1 to ${longestName} characters long`,
    )
  if (isJob(need)) return { name, kind: 'one', mode: 'succeeded' }
  if (typeof need === 'object' && need !== null) {
    if ('many' in need && isJob(need.many)) return { name, kind: 'many', mode: 'succeeded' }
    if ('ended' in need && isJob(need.ended)) return { name, kind: 'ended', mode: 'ended' }
  }
  throw new ErrandError(
    'E_OPTION',
    `${at} needs "${name}", which is ${describe(need)}; use a job, many(job) or ended(job)`,
  )
}

function isJob(value: unknown): boolean {
  return (
    typeof value === 'object' &&
    value !== null &&
    'name' in value &&
    'with' in value &&
    typeof value.with === 'function'
  )
}
