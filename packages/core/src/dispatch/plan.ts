import { checkCount } from '../define/flow-body.ts'
import type { CallbackNode, Edge, FlowBody, FlowNode, JobNode } from '../define/flow-body.ts'
import { resolvedJob } from '../define/job.ts'
import type { RequestOfJob } from '../define/job.ts'
import { ErrandError } from '../errors.ts'
import { checkId } from '../ids.ts'
import type { NewFlow } from '../job/flow.ts'
import type { NewNeed } from '../job/need.ts'
import { mergeMeta, mergeTags } from './keys.ts'

/** Flows may be nested so deep. */
export const deepestFlow = 8
/** So many jobs and flows may be stored in one commit, if the log does not say less. */
export const mostInFlow = 20_000

/** A job of a flow, with its id and the ids of what it needs. */
export interface PlannedJob {
  readonly id: string
  readonly request: RequestOfJob
  /** Undefined: it is a callback, which is no member. */
  readonly flow: string | undefined
  readonly needs: readonly NewNeed[]
  readonly mayFail: boolean
  /** Of its flow, and of the flows around that. */
  readonly meta: Readonly<Record<string, string>>
  readonly tags: readonly string[]
}

export interface Plan {
  readonly id: string
  /** An inner flow comes after its outer one. */
  readonly flows: readonly NewFlow[]
  /** In the order in which they were built. */
  readonly jobs: readonly PlannedJob[]
}

interface Ids {
  /** Of the flow itself. */
  readonly flow: string
  /** Of each job and inner flow, in the order of their building. */
  next(): string
}

/** Where a body stands: what its refs mean there. The same body may stand at two places. */
interface Scope {
  readonly placed: Map<FlowNode, string>
  readonly outer: Scope | undefined
}

interface Around {
  readonly outer: NewFlow | undefined
  readonly scope: Scope | undefined
  /** What each member needs that needs no other one. */
  readonly needs: readonly NewNeed[]
  readonly mayFail: boolean
  readonly depth: number
}

/**
 * Gives every job and flow its id, and turns what they need into ids.
 * @throws `E_FLOW_DEPTH`, `E_FLOW_TOO_LARGE`, `E_NEED_LIMIT`, `E_ID`, `E_KEY`
 */
export function planFlow(body: FlowBody, ids: Ids, meta: Readonly<Record<string, string>>): Plan {
  const flows: NewFlow[] = []
  const jobs: PlannedJob[] = []
  /** Of flows without a job: who waits for one of them waits for what it would have waited for. */
  const empty = new Map<string, readonly NewNeed[]>()

  function place(of: FlowBody, id: string, around: Around): void {
    if (around.depth > deepestFlow)
      throw new ErrandError('E_FLOW_DEPTH', `flows are nested more than ${deepestFlow} deep`)
    const what = of.name === undefined ? 'a flow' : `flow "${of.name}"`
    const { outer } = around
    const flow: NewFlow = {
      id,
      name: of.name,
      flow: outer?.id,
      allowFailures: of.allowFailures,
      stopOnFailure: of.stopOnFailure,
      ...(around.mayFail ? { mayFail: true } : {}),
      tags: mergeTags(what, undefined, undefined, [...(outer?.tags ?? []), ...(of.tags ?? [])]),
      meta: mergeMeta(what, of.meta, outer?.meta ?? meta),
    }
    flows.push(flow)
    const scope: Scope = { placed: new Map(), outer: around.scope }
    const before = jobs.length
    for (const node of of.nodes) placeNode(node, flow, scope, around)
    if (jobs.length === before) empty.set(id, around.needs)
    for (const node of of.callbacks) placeCallback(node, flow, scope, around, jobs.length === before)
  }

  function placeNode(node: FlowNode, flow: NewFlow, scope: Scope, around: Around): void {
    const isRoot = !node.edges.some(({ on }) => typeof on !== 'string' && scope.placed.has(on))
    const needs = [...node.edges.flatMap((edge) => resolve(edge, scope)), ...(isRoot ? around.needs : [])]
    if (node.kind === 'flow') {
      const id = ids.next()
      scope.placed.set(node, id)
      const { mayFail } = node
      place(node.body, id, { outer: flow, scope, needs, mayFail, depth: around.depth + 1 })
      return
    }
    scope.placed.set(node, placeJob(node, flow, needs, flow.id))
  }

  function placeCallback(
    node: CallbackNode,
    flow: NewFlow,
    scope: Scope,
    around: Around,
    isEmpty: boolean,
  ): void {
    const own: NewNeed = { on: flow.id, mode: node.mode, name: node.callback }
    const needs = node.edges.flatMap((edge) => resolve(edge, scope))
    placeJob(node, flow, [...needs, own, ...(isEmpty ? around.needs : [])], undefined)
  }

  function placeJob(
    { request, mayFail }: JobNode,
    { meta, tags }: NewFlow,
    needs: readonly NewNeed[],
    flow: string | undefined,
  ): string {
    checkCount(resolvedJob(request.job).name, needs.length)
    const id = request.options?.id === undefined ? ids.next() : checkId(request.options.id)
    jobs.push({ id, request, flow, needs, mayFail, meta, tags })
    return id
  }

  function resolve({ on, mode, name }: Edge, scope: Scope): readonly NewNeed[] {
    const id = typeof on === 'string' ? on : idIn(scope, on)
    const own: NewNeed = name === undefined ? { on: id, mode } : { on: id, mode, name }
    const instead = empty.get(id) ?? []
    return [own, ...instead.map((need) => ({ on: need.on, mode: mode === 'ended' ? mode : need.mode }))]
  }

  place(body, ids.flow, { outer: undefined, scope: undefined, needs: [], mayFail: false, depth: 1 })
  return { id: ids.flow, flows, jobs }
}

/** The scopes of a batch reach into the flow around it, where its requests may have found what they need. */
function idIn(scope: Scope | undefined, node: FlowNode): string {
  for (let here = scope; here; here = here.outer) {
    const id = here.placed.get(node)
    if (id !== undefined) return id
  }
  throw new ErrandError('E_OPTION', 'a job needs one that its flow does not have')
}

/** @throws `E_FLOW_TOO_LARGE` */
export function checkSize(count: number, most: number): void {
  if (count <= most) return
  throw new ErrandError(
    'E_FLOW_TOO_LARGE',
    `${count} jobs and flows are more than one commit may store, which is ${most}; dispatch a first member that adds the rest with ctx.flow.add(), some at a time`,
  )
}

/**
 * The jobs so that each comes after what it needs, and otherwise in the order in which they were built.
 * @throws `E_NEED_CYCLE`; `E_OPTION` for two with one id
 */
export function sortJobs(flows: readonly NewFlow[], jobs: readonly PlannedJob[]): readonly PlannedJob[] {
  const byId = new Map<string, PlannedJob>()
  for (const job of jobs) {
    if (byId.has(job.id)) throw new ErrandError('E_OPTION', `two jobs of a flow have the id ${job.id}`)
    byId.set(job.id, job)
  }
  // A flow comes after its members, for those that need it.
  const members = new Map<string, string[]>(flows.map(({ id }) => [id, []]))
  for (const { id, flow } of [...flows, ...jobs]) if (flow !== undefined) members.get(flow)?.push(id)
  const before = (id: string): readonly string[] =>
    byId.get(id)?.needs.map(({ on }) => on) ?? members.get(id) ?? []

  const sorted: PlannedJob[] = []
  const state = new Map<string, 'open' | 'done'>()
  // Not by recursion: a chain may have thousands of jobs.
  for (const { id: from } of jobs) {
    const path = state.has(from) ? [] : [{ id: from, left: before(from).values() }]
    if (path.length > 0) state.set(from, 'open')
    for (let at; (at = path.at(-1));) {
      const { value: next } = at.left.next()
      if (next === undefined) {
        path.pop()
        state.set(at.id, 'done')
        const job = byId.get(at.id)
        if (job) sorted.push(job)
      } else if (state.get(next) === 'open') {
        throw cycleError(
          path.map(({ id }) => id),
          next,
          byId,
        )
      } else if (!state.has(next) && (byId.has(next) || members.has(next))) {
        state.set(next, 'open')
        path.push({ id: next, left: before(next).values() })
      }
    }
  }
  return sorted
}

function cycleError(
  path: readonly string[],
  again: string,
  jobs: ReadonlyMap<string, PlannedJob>,
): ErrandError {
  const ring = path.slice(path.indexOf(again))
  const names = ring.map((id) => nameOf(jobs.get(id)))
  return new ErrandError(
    'E_NEED_CYCLE',
    `these need each other, so none of them could ever start: ${names.slice(0, 8).join(', ')}`,
    { ids: ring },
  )
}

function nameOf(job: PlannedJob | undefined): string {
  return job ? resolvedJob(job.request.job).name : 'their flow'
}
