import { ErrandError } from '../errors.ts'
import { checkId } from '../ids.ts'
import { mostNeeds } from '../job/need.ts'
import type { NeedMode } from '../job/need.ts'
import { checkOptions, describe } from '../options.ts'
import type { RequestOfJob } from './job.ts'
import type { ResolvedNeed } from './need.ts'

/** A flow as it was built: its members, and what each of them needs. */
export interface FlowBody {
  readonly name: string | undefined
  /** Null: any number. */
  readonly allowFailures: number | null
  readonly stopOnFailure: boolean
  readonly tags: readonly string[] | undefined
  readonly meta: Readonly<Record<string, string>> | undefined
  readonly nodes: readonly FlowNode[]
  readonly callbacks: readonly CallbackNode[]
}

export type FlowNode = JobNode | InnerNode

export interface JobNode {
  readonly kind: 'job'
  readonly request: RequestOfJob
  readonly edges: readonly Edge[]
  readonly mayFail: boolean
}

/** A job that needs the flow. */
export interface CallbackNode extends JobNode {
  readonly callback: string
  readonly mode: NeedMode
}

export interface InnerNode {
  readonly kind: 'flow'
  readonly body: FlowBody
  /** What each job in it needs that needs no other member of it. */
  readonly edges: readonly Edge[]
  readonly mayFail: boolean
}

/** A need: of a node of the same flow, or of the job or flow with an id. */
export interface Edge {
  readonly on: FlowNode | string
  readonly mode: NeedMode
  readonly name?: string | undefined
}

/** Marks the refs of one builder: those of another are refused. */
export type Owner = object

// Registered, as in define/job.ts.
const refKey: unique symbol = Symbol.for('@errand/core:ref') as never

interface Referred {
  readonly owner: Owner
  readonly node: FlowNode
}

/** What a builder returns for a node. */
export function makeRef(owner: Owner, node: FlowNode): object {
  const referred: Referred = { owner, node }
  return Object.freeze(Object.defineProperty({}, refKey, { value: referred }))
}

interface Target {
  readonly on: FlowNode | string
  /** Undefined: it is an id, and only the log knows. */
  readonly isFlow: boolean | undefined
}

function toTarget(what: string, value: unknown, owner: Owner | undefined): Target {
  if (typeof value === 'string') return { on: checkId(value), isFlow: undefined }
  if (typeof value === 'object' && value !== null) {
    const referred = Reflect.get(value, refKey) as Referred | undefined
    if (referred && referred.owner === owner)
      return { on: referred.node, isFlow: referred.node.kind === 'flow' }
    if (referred) {
      throw new ErrandError(
        'E_OPTION',
        owner === undefined
          ? `${what} is a job of a flow; outside of the flow use the id of what was dispatched`
          : `${what} is a job of another flow; needs within one dispatch are between members of the same flow`,
      )
    }
    if ('id' in value) return { on: checkId(value.id), isFlow: 'kind' in value && value.kind === 'flow' }
  }
  throw new ErrandError(
    'E_OPTION',
    `${what} is ${describe(value)}; use what f.job(), f.batch() or dispatch() returned, or an id`,
  )
}

function isEnded(value: unknown): value is { readonly ended: unknown } {
  return typeof value === 'object' && value !== null && 'ended' in value
}

interface NeedOptions {
  readonly needs?: unknown
  readonly after?: unknown
}

/**
 * What a job needs, as its dispatch says: first what its definition names, then what it only comes after.
 * @param owner of the flow that is being built, if one is
 * @throws `E_OPTION`, `E_ID`, `E_NEED_LIMIT`
 */
export function toEdges(
  what: string,
  definition: readonly ResolvedNeed[] | undefined,
  options: NeedOptions,
  owner: Owner | undefined,
): readonly Edge[] {
  const edges: Edge[] = [
    ...namedEdges(what, definition, options.needs, owner),
    ...afterEdges(what, options.after, owner),
  ]
  checkCount(what, edges.length)
  return edges
}

export function checkCount(what: string, count: number): void {
  if (count <= mostNeeds) return
  throw new ErrandError(
    'E_NEED_LIMIT',
    `${what} has ${count} needs; the limit is ${mostNeeds}: make what it needs a batch, and need that`,
  )
}

function namedEdges(
  what: string,
  definition: readonly ResolvedNeed[] | undefined,
  needs: unknown,
  owner: Owner | undefined,
): readonly Edge[] {
  if (definition === undefined) {
    if (needs === undefined) return []
    throw new ErrandError(
      'E_OPTION',
      `${what} is dispatched with needs, but its definition has none; use after for order alone`,
    )
  }
  const names = definition.map(({ name }) => name)
  checkOptions(`needs of ${what}`, needs ?? {}, names)
  return definition.map(({ name, kind, mode }) => {
    const value: unknown = Reflect.get(needs ?? {}, name)
    if (value === undefined)
      throw new ErrandError('E_OPTION', `${what} is dispatched without its need "${name}"`)
    const { on, isFlow } = toTarget(`need "${name}" of ${what}`, value, owner)
    if (isFlow !== undefined && isFlow !== (kind === 'many')) {
      throw new ErrandError(
        'E_OPTION',
        isFlow
          ? `need "${name}" of ${what} is a flow; its definition needs one job (many(job) needs a flow)`
          : `need "${name}" of ${what} is one job; its definition needs a flow, as f.batch() makes one`,
      )
    }
    return { on, mode, name }
  })
}

/** @throws `E_OPTION`, `E_ID` */
export function afterEdges(what: string, after: unknown, owner: Owner | undefined): readonly Edge[] {
  if (after === undefined) return []
  if (!Array.isArray(after))
    throw new ErrandError('E_OPTION', `after of ${what} is ${describe(after)}; use a list`)
  return (after as readonly unknown[]).map((each, index) => {
    const name = `after[${index}] of ${what}`
    return isEnded(each)
      ? { on: toTarget(name, each.ended, owner).on, mode: 'ended' }
      : { on: toTarget(name, each, owner).on, mode: 'succeeded' }
  })
}
