import { ErrandError } from '../errors.ts'
import { checkFlag, checkFunction, checkInteger, checkOptions, describe } from '../options.ts'
import { freeText } from '../text.ts'
import { afterEdges, makeRef, toEdges } from './flow-body.ts'
import type { CallbackNode, Edge, FlowBody, FlowNode, InnerNode, JobNode, Owner } from './flow-body.ts'
import { jobOptionNames, resolvedJob } from './job.ts'
import type { AnyJob, JobDefinition, JobOptions, JobRequest, OptionsWithNeeds, RequestOfJob } from './job.ts'
import { callbackModes } from './need.ts'
import type { Needed, EndedNeed, ManyRef, Ref } from './need.ts'

declare const types: unique symbol

/** Jobs that are dispatched together as one whole: made by `flow`, `batch` or `chain`. `Result` is that of its members. */
export interface FlowRequest<Result> {
  readonly kind: 'flow'
  /** For people. */
  readonly name: string | undefined
  readonly [types]?: Result
}

export interface FlowOptions {
  /** For people: at most 200 characters. */
  readonly name?: string | undefined
  /** So many members may fail or be cancelled, and it still succeeds. `true`: any number. Default 0. */
  readonly allowFailures?: number | true | undefined
  /** Once more have failed than may, the rest is cancelled. Default true. */
  readonly stopOnFailure?: boolean | undefined
  /** Runs once the flow has succeeded. It is no member, and neither are the next two. */
  readonly onSuccess?: JobRequest<unknown> | undefined
  /** Runs once the flow has failed or was cancelled. */
  readonly onFailure?: JobRequest<unknown> | undefined
  /** Runs once the flow has ended. */
  readonly onEnd?: JobRequest<unknown> | undefined
  /** Words to find the flow and its jobs by: in addition to the jobs' own. */
  readonly tags?: readonly string[] | undefined
  /** For example trace, tenant or locale. Its jobs get it too; theirs goes over it. */
  readonly meta?: Readonly<Record<string, string>> | undefined
}

/** Options of a flow inside a flow. */
export interface InnerFlowOptions {
  /** Its jobs start after these. */
  readonly after?: readonly (Needed | EndedNeed<Needed>)[] | undefined
  /** It does not count if it fails. Default false. */
  readonly mayFail?: boolean | undefined
}

/** Options of a job inside a flow. */
export type MemberOptions = JobOptions & {
  /** It does not count if it fails or is cancelled. Default false. */
  readonly mayFail?: boolean | undefined
}

type MemberArgs<In, N> = [keyof N] extends [never]
  ? [In] extends [void]
    ? [payload?: undefined, options?: MemberOptions]
    : [payload: NoInfer<In>, options?: MemberOptions]
  : [In] extends [void]
    ? [payload: undefined, ...options: OptionsWithNeeds<N, MemberOptions>]
    : [payload: NoInfer<In>, ...options: OptionsWithNeeds<N, MemberOptions>]

type ResultsOf<R extends readonly JobRequest<unknown>[]> =
  R[number] extends JobRequest<infer Result> ? Result : never

/** Adds the members of a flow. What it returns says in `needs` and `after` of later members what these wait for. */
export interface FlowBuilder {
  /** A job. @throws `E_OPTION`, `E_NEED_LIMIT` */
  job<In, Result, N>(job: JobDefinition<In, unknown, Result, N>, ...args: MemberArgs<In, N>): Ref<Result>
  /** Jobs that need nothing of each other, as a flow of their own: so another job needs them all by one need. */
  batch<const R extends readonly JobRequest<unknown>[]>(
    requests: R,
    options?: FlowOptions & InnerFlowOptions,
  ): ManyRef<ResultsOf<R>>
  /** Any flow. */
  flow<Result>(flow: FlowRequest<Result>, options?: InnerFlowOptions): ManyRef<Result>
}

// Registered, as in define/job.ts.
const bodyKey: unique symbol = Symbol.for('@errand/core:flow') as never

/**
 * Makes a flow of jobs that need each other. `build` adds them, and may be called once only: it must not wait for anything.
 * @throws `E_OPTION`, `E_ID`, `E_NEED_LIMIT`
 * @example
 * const report = flow((f) => {
 *   const sales = f.job(countSales, { month })
 *   const pages = f.batch(chapters.map((chapter) => renderPage.with({ month, chapter })))
 *   f.job(buildReport, { month }, { needs: { sales, pages } })
 * }, { name: `report ${month}` })
 * await errand.dispatch(report)
 */
export function flow(build: (f: FlowBuilder) => unknown, options?: FlowOptions): FlowRequest<unknown> {
  checkFunction('flow() build', build)
  const nodes: FlowNode[] = []
  const { builder, close } = makeBuilder(nodes)
  const built = build(builder)
  close()
  if (built instanceof Promise)
    throw new ErrandError(
      'E_OPTION',
      'the function of flow() is asynchronous; await before, and build at once',
    )
  return makeFlow('flow()', nodes, options)
}

/**
 * Makes a flow of jobs that run one after the other. A job is handed nothing of the one before: what it needs stands in its payload,
 * or in `needs` of a `flow`. A flow in the list runs as a whole. If one fails, those behind it are cancelled.
 * @throws `E_OPTION`
 * @example await errand.dispatch(chain([fetchFile.with({ url }), batch(parts), mergeParts.with({ url })]))
 */
export function chain(
  steps: readonly (JobRequest<unknown> | FlowRequest<unknown>)[],
  options?: FlowOptions,
): FlowRequest<unknown> {
  checkList('chain()', steps)
  const nodes: FlowNode[] = []
  for (const [index, step] of steps.entries()) {
    const before = nodes.at(-1)
    const edges: readonly Edge[] = before ? [{ on: before, mode: 'succeeded' }] : []
    const body = findBody(step)
    const node: FlowNode = body
      ? { kind: 'flow', body, edges, mayFail: false }
      : toJobNode(`chain()[${index}]`, step, undefined)
    nodes.push(body ? node : { ...node, edges: [...node.edges, ...edges] })
  }
  return makeFlow('chain()', nodes, options)
}

/**
 * Makes a flow of jobs that need nothing of each other.
 * @throws `E_OPTION`
 * @example
 * await errand.dispatch(
 *   batch(files.map((file) => makeThumbnail.with({ file })), { allowFailures: 3, onSuccess: publishAlbum.with({ album }) }),
 * )
 */
export function batch<const R extends readonly JobRequest<unknown>[]>(
  requests: R,
  options?: FlowOptions,
): FlowRequest<ResultsOf<R>> {
  return makeFlow('batch()', batchNodes('batch()', requests, undefined), options)
}

function batchNodes(
  what: string,
  requests: readonly JobRequest<unknown>[],
  owner: Owner | undefined,
): readonly FlowNode[] {
  checkList(what, requests)
  return requests.map((request, index) => toJobNode(`${what}[${index}]`, request, owner))
}

function checkList(what: string, list: unknown): void {
  if (!Array.isArray(list)) throw new ErrandError('E_OPTION', `${what} takes a list, not ${describe(list)}`)
}

function makeBuilder(nodes: FlowNode[]): { readonly builder: FlowBuilder; readonly close: () => void } {
  const owner: Owner = nodes
  let closed = false
  const add = (make: () => FlowNode): object => {
    if (closed)
      throw new ErrandError('E_OPTION', 'this flow is built; add its jobs inside the function of flow()')
    const node = make()
    nodes.push(node)
    return makeRef(owner, node)
  }
  const builder = {
    job: (job: AnyJob, payload: unknown, options: RequestOfJob['options']) =>
      add(() => toJobNode(`f.job(${resolvedJob(job).name})`, { job, payload, options }, owner)),
    batch: (requests: readonly JobRequest<unknown>[], options: FlowOptions & InnerFlowOptions = {}) =>
      add(() => {
        const { after, mayFail, ...rest } = options
        const members = batchNodes('f.batch()', requests, owner)
        return innerNode('f.batch()', toBody('f.batch()', members, rest), { after, mayFail }, owner)
      }),
    flow: (request: unknown, options: InnerFlowOptions = {}) =>
      add(() => {
        const body = findBody(request)
        if (body) return innerNode('f.flow()', body, options, owner)
        throw new ErrandError(
          'E_OPTION',
          `f.flow() takes what flow(), chain() or batch() returned, not ${describe(request)}`,
        )
      }),
  }
  return {
    builder: Object.freeze(builder) as unknown as FlowBuilder,
    close: () => {
      closed = true
    },
  }
}

function innerNode(what: string, body: FlowBody, options: InnerFlowOptions, owner: Owner): InnerNode {
  checkOptions(`${what} options`, options, ['after', 'mayFail'])
  checkFlag(`mayFail of ${what}`, options.mayFail)
  const edges = afterEdges(what, options.after, owner)
  return { kind: 'flow', body, edges, mayFail: options.mayFail === true }
}

function toJobNode(what: string, request: unknown, owner: Owner | undefined): JobNode {
  if (typeof request !== 'object' || request === null || !('job' in request)) {
    throw new ErrandError('E_OPTION', `${what} is ${describe(request)}; use job.with(payload, options)`)
  }
  const { job, payload, options = {} } = request as RequestOfJob
  const { name, needs: definition } = resolvedJob(job)
  checkOptions(`${what} options`, options, memberOptionNames)
  const { needs, after, mayFail, ...rest } = options as MemberOptions & { readonly needs?: unknown }
  checkFlag(`mayFail of ${what}`, mayFail)
  const edges = toEdges(name, definition, { needs, after }, owner)
  return { kind: 'job', request: { job, payload, options: rest }, edges, mayFail: mayFail === true }
}

const memberOptionNames: readonly string[] = [...jobOptionNames, 'mayFail']
const flowOptionNames: readonly string[] = [
  'name',
  'allowFailures',
  'stopOnFailure',
  'tags',
  'meta',
  ...Object.keys(callbackModes),
]
const longestName = 200
const mostFailures = 1_000_000

function makeFlow(
  what: string,
  nodes: readonly FlowNode[],
  options: FlowOptions | undefined,
): FlowRequest<never> {
  const body = toBody(what, nodes, options ?? {})
  const request: FlowRequest<never> = { kind: 'flow', name: body.name }
  return Object.freeze(Object.defineProperty(request, bodyKey, { value: body }))
}

function toBody(what: string, nodes: readonly FlowNode[], options: FlowOptions): FlowBody {
  checkOptions(`${what} options`, options, flowOptionNames)
  const { name, allowFailures = 0, stopOnFailure = true, tags, meta } = options
  if (name !== undefined && (typeof name !== 'string' || name === '' || name.length > longestName)) {
    throw new ErrandError(
      'E_OPTION',
      `name of ${what} is ${describe(name)}; use a text of at most ${longestName} characters`,
    )
  }
  checkFlag(`stopOnFailure of ${what}`, stopOnFailure)
  return Object.freeze({
    name: name === undefined ? undefined : freeText(name),
    allowFailures:
      allowFailures === true
        ? null
        : checkInteger(`allowFailures of ${what}`, allowFailures, 0, mostFailures),
    stopOnFailure,
    tags,
    meta,
    nodes,
    callbacks: toCallbacks(what, options),
  })
}

function toCallbacks(what: string, options: FlowOptions): readonly CallbackNode[] {
  return callbackNames.flatMap((callback) => {
    const request = options[callback]
    if (request === undefined) return []
    const node = toJobNode(`${callback} of ${what}`, request, undefined)
    return { ...node, callback, mode: callbackModes[callback] }
  })
}

const callbackNames = Object.keys(callbackModes) as readonly (keyof typeof callbackModes)[]

/** Undefined if it was not made by `flow`, `chain` or `batch`. */
export function findBody(value: unknown): FlowBody | undefined {
  return typeof value === 'object' && value !== null
    ? (Reflect.get(value, bodyKey) as FlowBody | undefined)
    : undefined
}
