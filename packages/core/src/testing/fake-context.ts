import { randomUUID } from 'node:crypto'
import { jsonCodec } from '../codec/json-codec.ts'
import { settingsDefaults } from '../config/defaults.ts'
import type { Context } from '../define/handler.ts'
import { resolvedJob } from '../define/job.ts'
import type { FlowBody } from '../define/flow-body.ts'
import type { AnyJob, JobDefinition, RequestOfJob, ResultOf } from '../define/job.ts'
import type { EndedNeed, Many, NeedEnd, NoNeeds, ResolvedNeed } from '../define/need.ts'
import type { Tick } from '../define/schedule.ts'
import type { JobView } from '../define/view.ts'
import type { ChildOptions } from '../dispatch/request.ts'
import { idMaker } from '../ids.ts'
import { toFailure } from '../failure/to-failure.ts'
import type { Claim } from '../job/claim.ts'
import { childLogger } from '../logging.ts'
import { checkOptions } from '../options.ts'
import type { Logger } from '../logging.ts'
import { systemClock } from '../ports/system-clock.ts'
import type { Encoded } from '../ports/codec.ts'
import type { NeedRecord } from '../ports/flows.ts'
import type { JobLog } from '../ports/job-log.ts'
import type { Transaction } from '../ports/transaction.ts'
import { cancelledError } from '../errors.ts'
import { makeContext } from '../worker/run/context.ts'
import type { ContextRun } from '../worker/run/context.ts'
import { Outcomes } from '../worker/run/outcome.ts'
import type { Wish } from '../worker/run/outcome.ts'
import { toIdempotencyKey } from '../worker/steps/steps.ts'
import { FakeSteps } from './fake-steps.ts'
import type { FakeStep } from './fake-steps.ts'
import { memoryLog } from './memory-log.ts'

/** What `ctx.needs` gives: a result, a list of results for `many`, or how it ended for `ended`. */
export type NeedValues<N> = {
  readonly [K in keyof N]?: N[K] extends Many<infer J>
    ? readonly ResultOf<J>[]
    : N[K] extends EndedNeed<infer J>
      ? NeedEnd<ResultOf<J>>
      : ResultOf<N[K]>
}

export interface FakeContextOptions<In, N = NoNeeds> {
  readonly payload?: In | undefined
  /** Default 1. */
  readonly attempt?: number | undefined
  readonly id?: string | undefined
  readonly meta?: Readonly<Record<string, string>> | undefined
  readonly tags?: readonly string[] | undefined
  readonly orderingKey?: string | undefined
  /** What it needs. One that is not given is `E_NEED_UNKNOWN` where the handler reads it. */
  readonly needs?: NeedValues<N> | undefined
  /** The id of a flow that it is a member of. */
  readonly flow?: string | undefined
  /** The tick of a schedule. Default: it was dispatched by hand. */
  readonly tick?: Tick | undefined
  /**
   * What steps, sleeps, messages and calls give, by name; an error is thrown. Steps that are not named run, and sleeps are over
   * at once.
   */
  readonly memory?: Readonly<Record<string, unknown>> | undefined
  /** Where `ctx.log` writes. Default: nowhere. */
  readonly logger?: Logger | undefined
}

/** A context for calling a handler by hand. It keeps what the handler did with it. */
export interface FakeContext<Result, N = NoNeeds> extends Context<Result, N> {
  /** What the handler reported with `ctx.progress`. */
  readonly progressed: readonly { readonly value: number; readonly message: string | undefined }[]
  /** What it dispatched, also in flows, or added to its flow; nothing is stored. */
  readonly dispatched: readonly {
    readonly job: AnyJob
    readonly payload: unknown
    readonly options: ChildOptions | undefined
  }[]
  /** What it completed with `ctx.complete`. */
  readonly completed: { readonly tx: Transaction; readonly result: unknown } | undefined
  /** How often it closed its limit with `ctx.limit.close`, and for how long, in milliseconds. */
  readonly limitClosed: readonly { readonly forMs: number; readonly reason: string | undefined }[]
  /** The steps and waits that it came to, in order, and what it got. */
  readonly steps: readonly FakeStep[]
  /** What an outcome that the handler returned asks for; undefined for any other value. */
  readOutcome(returned: unknown): Wish | undefined
  /** Aborts `ctx.signal`, as a cancellation would unless another reason is given. */
  abort(reason?: Error): void
  /** Aborts `ctx.stopping`: the worker wants to stop. */
  stop(): void
}

const known = [
  'payload',
  'attempt',
  'id',
  'meta',
  'tags',
  'orderingKey',
  'needs',
  'flow',
  'tick',
  'memory',
  'logger',
]

/** A logger that says nothing. */
export const silentLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}

/**
 * Makes a context, so that a handler's function can be tested as any other: no log, no driver, no worker.
 * @example
 * const ctx = fakeContext(makeThumbnail, { attempt: 3 })
 * const returned = await thumbnail({ file: 'a.jpg', width: 320 }, ctx)
 * ctx.readOutcome(returned) // { kind: 'snooze', delayMs: 60_000, … }
 */
export function fakeContext<In, Out, Result, N>(
  job: JobDefinition<In, Out, Result, N>,
  options: FakeContextOptions<NoInfer<In>, NoInfer<N>> = {},
): FakeContext<Result, N> {
  checkOptions('fakeContext()', options, known)
  const resolved = resolvedJob(job)
  const logger = options.logger ?? silentLogger
  const signal = new AbortController()
  const stopping = new AbortController()
  const outcomes = new Outcomes()
  const progressed: { value: number; message: string | undefined }[] = []
  const dispatched: { job: AnyJob; payload: unknown; options: ChildOptions | undefined }[] = []
  const limitClosed: { forMs: number; reason: string | undefined }[] = []
  let completed: FakeContext<Result>['completed']
  let completing: unknown

  const view = makeView(job, options)
  const newId = idMaker(systemClock)
  const log: JobLog = {
    ...memoryLog().open({ logger, clock: systemClock }),
    ...fakeNeeds(resolved.needs ?? [], options.needs ?? {}),
    complete: async (_fence, _result, _by, tx) => {
      completed = { tx, result: completing }
    },
    closeLimit: async (_target, forMs, { reason }) => {
      limitClosed.push({ forMs, reason })
      return { found: true, tickets: [] }
    },
  }
  const claim: Claim = {
    ...makeClaim(view, options.attempt ?? 1, resolved.retry.attempts, resolved),
    flow: options.flow,
  }
  const steps = new FakeSteps(options.memory ?? {}, toIdempotencyKey(claim))
  const run: ContextRun = {
    claim,
    steps,
    isAbandoned: false,
    view,
    outcomes,
    signal: signal.signal,
    log: childLogger(logger, { job: view.id, jobName: view.name, attempt: options.attempt ?? 1 }),
    // Without a codec of its own nothing here is sealed later.
    progress: (progress) => {
      if (!(progress instanceof Promise))
        progressed.push({ value: progress.value, message: progress.message })
    },
    tellProgress: async () => {},
    completing: (result) => {
      completing = result
    },
  }
  const context = makeContext(resolved, run, {
    ref: { id: randomUUID(), host: 'fake', pid: process.pid, leaseMs: 30_000, graceMs: 25_000 },
    stopping: stopping.signal,
    deps: {
      log,
      codec: jsonCodec,
      settings: settingsDefaults,
      dispatch: async (request) => {
        dispatched.push(request)
        return { id: newId(), status: 'added' }
      },
      dispatchFlow: async (body) => {
        for (const request of listRequests(body)) dispatched.push(request)
        return { kind: 'flow', id: newId(), status: 'added', skipped: [] }
      },
      addToFlow: async (_flow, requests) =>
        (requests as readonly RequestOfJob[]).map(({ job, payload, options }) => {
          dispatched.push({ job, payload, options })
          return { id: newId(), status: 'added' }
        }),
    },
  })
  return {
    ...(context as unknown as Context<Result, N>),
    step: steps.step,
    sleep: steps.sleep,
    receive: steps.receive,
    call: steps.call,
    suspended: outcomes.suspended,
    progressed,
    dispatched,
    limitClosed,
    steps: steps.done,
    get completed() {
      return completed
    },
    readOutcome: (returned) => {
      const wish = outcomes.readWish(returned)
      return wish === 'foreign' ? undefined : wish
    },
    abort: (reason = cancelledError('cancelled by the test')) => signal.abort(reason),
    stop: () => stopping.abort(),
  }
}

function listRequests({ nodes, callbacks }: FlowBody): readonly RequestOfJob[] {
  const all = [...nodes, ...callbacks]
  return all.flatMap((node) => (node.kind === 'job' ? [node.request] : listRequests(node.body)))
}

/** What a log would say of its needs. */
function fakeNeeds(
  definition: readonly ResolvedNeed[],
  values: object,
): Pick<JobLog, 'needs' | 'memberEnds'> {
  const given = definition.flatMap((need) => {
    const value: unknown = Reflect.get(values, need.name)
    return value === undefined ? [] : [{ ...need, on: randomUUID(), value }]
  })
  return {
    needs: async () =>
      given.map(({ name, kind, mode, on, value }) => ({ ...toEnd(kind, value), on, name, mode })),
    memberEnds: async (flow) => {
      const many = given.find(({ on }) => on === flow)?.value
      const results = Array.isArray(many) ? (many as readonly unknown[]) : []
      const ends = results.map((result, index) => ({
        index,
        id: randomUUID(),
        state: 'succeeded' as const,
        body: encode(result),
      }))
      return { ends, next: undefined }
    },
  }
}

function toEnd(kind: ResolvedNeed['kind'], value: unknown): Pick<NeedRecord, 'isFlow' | 'state' | 'body'> {
  if (kind !== 'ended') return { isFlow: kind === 'many', state: 'succeeded', body: encode(value) }
  const end = value as NeedEnd<unknown>
  if (end.state === 'succeeded') return { isFlow: false, state: end.state, body: encode(end.result) }
  return { isFlow: false, state: end.state, body: end.error && encode(toFailure(end.error)) }
}

function encode(value: unknown): Encoded | undefined {
  return value === undefined ? undefined : { codec: 'json', text: JSON.stringify(value) }
}

function makeView(job: AnyJob, options: FakeContextOptions<unknown>): JobView {
  const { name, queue, lane } = resolvedJob(job)
  return {
    id: options.id ?? randomUUID(),
    name,
    queue,
    lane,
    tags: options.tags ?? [],
    orderingKey: options.orderingKey,
    meta: options.meta ?? {},
    dispatchedAt: new Date(),
    ...(options.tick ? { tick: options.tick } : {}),
    payload: options.payload,
  }
}

function makeClaim(
  view: JobView,
  attempt: number,
  maxAttempts: number,
  { crashes, onCrash, timeoutMs, payloadVersion }: ReturnType<typeof resolvedJob>,
): Claim {
  const { dispatchedAt, payload, ...stored } = view
  return {
    id: view.id,
    run: attempt,
    attempt,
    maxAttempts,
    maxCrashes: crashes,
    onCrash,
    timeoutMs,
    crashes: 0,
    expiresInMs: undefined,
    parkedForMs: undefined,
    flow: undefined,
    replays: 0,
    job: {
      ...stored,
      payloadVersion,
      payload: { codec: 'json', text: JSON.stringify(payload) ?? 'null' },
      parentId: undefined,
      dispatchedAt: dispatchedAt.getTime(),
    },
  }
}
