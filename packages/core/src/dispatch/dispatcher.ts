import { batcher } from '../batching.ts'
import type { FlowBody } from '../define/flow-body.ts'
import type { AnyJob, JobRequest, RequestOfJob } from '../define/job.ts'
import { resolvedJob } from '../define/job.ts'
import { ErrandError, isErrandError } from '../errors.ts'
import type { Debounce, NewJob } from '../job/job.ts'
import type { QueueName, Ticket } from '../job/ticket.ts'
import { describe } from '../options.ts'
import type { Clock } from '../ports/clock.ts'
import type { Driver } from '../ports/driver.ts'
import type { Appended, AppendOptions, JobLog, Topic } from '../ports/job-log.ts'
import type { Transaction } from '../ports/transaction.ts'
import { isObserved, trace } from '../telemetry/channels.ts'
import { addToFlow, dispatchFlow, pickTickets, storeMany } from './flows.ts'
import type { FlowDispatchParts } from './flows.ts'
import { keyedLine } from './keyed.ts'
import { prepare } from './prepare.ts'
import type { PrepareDeps } from './prepare.ts'
import { checkRequest, prepareAll } from './prepare-all.ts'
import { listQueueTopics, publishWithin } from './publisher.ts'
import type { Publisher } from './publisher.ts'
import type { DispatchFlowOptions, DispatchRequest, FlowReceipt, Parent, Receipt } from './request.ts'
import { checkStored } from './together.ts'
import { checkTransaction } from './transaction.ts'
import { uncommittedTickets } from './uncommitted.ts'

/** What a dispatch needs of a connected instance. */
interface Connected {
  readonly log: JobLog
  readonly publisher: Publisher
  readonly driver: Driver
}

export interface DispatcherDeps extends Omit<PrepareDeps, 'newId'> {
  readonly clock: Clock
  readonly newId: () => string
  /** Connects on first use. It may still be looking up in the background where tickets go. */
  connected(): Promise<Connected>
  /** The same, but waits until it knows where tickets go now. */
  publishing(): Promise<Connected>
}

export interface Dispatcher {
  /** One job. Never rejects because of the broker. */
  dispatch(request: DispatchRequest, parent?: Parent): Promise<Receipt<unknown>>
  /** All of them, or none. */
  dispatchMany(
    requests: readonly JobRequest<unknown>[],
    tx?: Transaction,
  ): Promise<readonly Receipt<unknown>[]>
  /** All of a flow, or none of it. */
  dispatchFlow(body: FlowBody, options: DispatchFlowOptions, parent?: Parent): Promise<FlowReceipt<unknown>>
  /** Members for a flow that runs; all or none. Each has the parent that gives it its id. */
  addToFlow(
    flow: string,
    requests: readonly JobRequest<unknown>[],
    tx: Transaction | undefined,
    parentOf: (index: number) => Parent,
  ): Promise<readonly Receipt<unknown>[]>
  /** Publishes what was dispatched inside transactions: one of them has committed. Never rejects. */
  wake(): Promise<void>
  /** Resolves when everything dispatched so far has been answered. */
  close(): Promise<void>
}

/** A job that waits for a newer payload. */
interface Debounced {
  readonly id: string
  readonly times: Debounce
}

/** How often a debounced dispatch meets a job that starts at that moment, before it is a duplicate. */
const mostTries = 5

export function createDispatcher(deps: DispatcherDeps): Dispatcher {
  const { settings, clock } = deps
  const uncommitted = uncommittedTickets(clock)
  const calls = new Set<Promise<unknown>>()
  let closed = false

  const line = (lines: number): ReturnType<typeof batcher<NewJob, Appended>> =>
    batcher({
      lines,
      run: (jobs) => append(jobs),
      maxItems: settings.batchItems,
      maxWeight: settings.batchBytes,
      weigh: (job) => job.payload.text.length,
    })
  // Jobs with a key may wait for a lock that somebody's transaction holds; those without a key must not wait with them.
  const plain = line(2)
  const keyed = keyedLine((jobs) => append(jobs, { passLocked: true }), clock, settings)
  // A child's id may be in a transaction that an earlier run of its parent has left open.
  const children = line(1)

  async function append(jobs: readonly NewJob[], options?: AppendOptions): Promise<readonly Appended[]> {
    const { log } = await deps.connected()
    try {
      return await log.append(
        jobs,
        options?.tx ? options : { ...options, wake: listTopics(jobs.filter(isReady)) },
      )
    } catch (error) {
      throw options?.tx === undefined ? toDispatchError(error) : error
    }
  }

  const flowParts: FlowDispatchParts = {
    append: (jobs, options) => withIds(idsOf(jobs, options), () => append(jobs, options)),
    announceIn: (tx, tickets) => announceIn(tx, tickets),
    log: async () => (await deps.connected()).log,
  }

  async function publish(tickets: readonly Ticket[]): Promise<void> {
    const { driver, publisher } = await deps.publishing()
    // Workers that take straight from the log need no ticket. They were woken when the jobs were stored.
    if (driver.capabilities.delivers === 'claims') return
    await publishWithin(publisher, tickets, settings.publishWaitMs, clock, true)
  }

  /** Publishes what was dispatched inside a transaction, once it has committed. */
  async function announce(tickets: readonly Ticket[]): Promise<void> {
    const { log } = await deps.connected()
    void log.notify(listTopics(tickets)).catch(() => undefined) // Waiters also poll.
    await publish(tickets)
  }

  /** Counts the call, so that closing waits for its answer. */
  async function open<T>(call: () => Promise<T>): Promise<T> {
    if (closed) throw new ErrandError('E_CLOSED', 'this instance has been closed; nothing was dispatched')
    const calling = call()
    calls.add(calling)
    try {
      return await calling
    } finally {
      calls.delete(calling)
    }
  }

  async function dispatchOne(
    request: DispatchRequest,
    parent: Parent | undefined,
    meta?: PrepareDeps['meta'],
    tries = 1,
  ): Promise<Receipt<unknown>> {
    const prepared = prepare(request, parent, meta ? { ...deps, meta } : deps)
    // Awaited only if it is a promise: see `prepare`.
    const job = prepared instanceof Promise ? await prepared : prepared
    const tx = request.options?.tx
    const appended = await withIds([job.id], async () => {
      if (tx !== undefined) return (await append([job], { tx }))[0]
      if (job.needs) return (await append([job], {}))[0]
      if (job.ordering || job.unique) return keyed.add(job)
      return (job.parentId === undefined ? plain : children).add(job)
    })
    const debounced = findDebounced(request.job, job.id, appended)
    if (debounced && tries <= mostTries) {
      const replaced = await replace(request, parent, debounced, meta)
      // It has started meanwhile, so the key is free.
      return replaced ?? dispatchOne(request, parent, meta, tries + 1)
    }
    const receipt = toReceipt(job, appended)
    await announceIn(tx, pickTickets([appended]))
    return receipt
  }

  async function announceIn(tx: Transaction | undefined, tickets: readonly Ticket[]): Promise<void> {
    if (tx === undefined) await publish(tickets)
    else uncommitted.add(tickets)
  }

  /** Gives the payload to the job that waits. Undefined: it has started. */
  async function replace(
    request: DispatchRequest,
    parent: Parent | undefined,
    { id, times }: Debounced,
    meta?: PrepareDeps['meta'],
  ): Promise<Receipt<unknown> | undefined> {
    const { tx, once: _once, each: _each, ...options } = request.options ?? {}
    // Encoded again: a codec may bind a payload to the id of its job.
    const own: DispatchRequest = { ...request, options: { ...options, id } }
    const job = await prepare(own, parent, meta ? { ...deps, meta } : deps)
    const { log } = await deps.connected()
    const answer = await withIds([id], () => log.debounce(id, job.payload, times, tx))
    if (answer.status === 'started') return undefined
    await announceIn(tx, answer.ticket ? [answer.ticket] : [])
    return { id, status: 'replaced' }
  }

  async function dispatchAll(
    requests: readonly JobRequest<unknown>[],
    tx: Transaction | undefined,
    meta?: PrepareDeps['meta'],
  ): Promise<readonly Receipt<unknown>[]> {
    if (tx !== undefined) checkTransaction(tx)
    const jobs = await prepareMany(requests, tx, meta ? { ...deps, meta } : deps)
    if (jobs.length === 0) return []
    if (jobs.some(({ needs }) => needs)) return storeMany(jobs, tx, true, flowParts)
    const ids = jobs.map(({ id }) => id)
    const appended = await withIds(ids, () => append(jobs, tx === undefined ? { atomic: true } : { tx }))
    const receipts = await eachInTurn(jobs, (job, index) => {
      const request = requests[index] as RequestOfJob
      if (!findDebounced(request.job, job.id, appended[index])) return toReceipt(job, appended[index])
      return dispatchOne({ ...request, options: { ...request.options, tx } }, undefined, meta)
    })
    await announceIn(tx, pickTickets(appended))
    return receipts
  }

  return {
    dispatch: (request, parent) =>
      open(async () => {
        if (!isObserved('dispatch')) return dispatchOne(request, parent)
        const [receipt] = await observed([request], parent?.id, async (meta) => [
          await dispatchOne(request, parent, meta),
        ])
        return receipt as Receipt<unknown>
      }),

    dispatchFlow: (body, options, parent) =>
      open(async () => {
        const run = (meta?: PrepareDeps['meta']): Promise<FlowReceipt<unknown>> =>
          dispatchFlow(body, options, parent, meta ? { ...deps, meta } : deps, flowParts)
        if (!isObserved('dispatch')) return run()
        const names = [body.name ?? 'flow']
        return trace('dispatch', { names, parentId: parent?.id, meta: {} }, async (context) => {
          const receipt = await run(context.meta)
          context.receipts = [receipt]
          return receipt
        })
      }),

    addToFlow: (flow, requests, tx, parentOf) =>
      open(async () => addToFlow(flow, requests as readonly RequestOfJob[], tx, parentOf, deps, flowParts)),

    dispatchMany: (requests, tx) =>
      open(async () => {
        if (!isObserved('dispatch')) return dispatchAll(requests, tx)
        return observed(requests, undefined, (meta) => dispatchAll(requests, tx, meta))
      }),

    async wake() {
      const tickets = uncommitted.take()
      // If this fails, the relay publishes the ticket: this is the fast path, and the relay is the safe one.
      if (tickets.length > 0 && !closed) await announce(tickets).catch(() => undefined)
    },

    async close() {
      closed = true
      await Promise.allSettled(calls)
      await Promise.all([plain.close(), keyed.close(), children.close()])
    },
  }
}

/** One after the other, so that of two payloads for one job the later one stays. Plain jobs wait for nothing. */
async function eachInTurn<T, R>(
  items: readonly T[],
  run: (item: T, index: number) => R | Promise<R>,
): Promise<R[]> {
  const results: R[] = []
  for (const [index, item] of items.entries()) {
    const result = run(item, index)
    results.push(result instanceof Promise ? await result : result)
  }
  return results
}

/** Tells observers of a call, and gives it what they write into the meta. */
function observed(
  requests: readonly { readonly job: AnyJob }[],
  parentId: string | undefined,
  call: (meta: Readonly<Record<string, string>>) => Promise<readonly Receipt<unknown>[]>,
): Promise<readonly Receipt<unknown>[]> {
  const names = Array.isArray(requests) ? requests.map(nameIn) : []
  return trace('dispatch', { names, parentId, meta: {} }, async (context) => {
    const receipts = await call(context.meta)
    context.receipts = receipts
    return receipts
  })
}

/** Throws for a value that is no request. */
function nameIn(request: { readonly job: AnyJob }): string {
  try {
    return resolvedJob(request.job).name
  } catch {
    return 'unknown'
  }
}

async function prepareMany(
  requests: readonly JobRequest<unknown>[],
  tx: Transaction | undefined,
  deps: PrepareDeps,
): Promise<readonly NewJob[]> {
  if (!Array.isArray(requests)) {
    throw new ErrandError(
      'E_OPTION',
      `dispatchMany() takes a list of job.with(payload), not ${describe(requests)}`,
    )
  }
  return prepareAll(requests as readonly RequestOfJob[], (request, index) => {
    const { job, payload, options } = checkRequest(`request ${index}`, request)
    const all = tx === undefined ? options : { ...options, tx }
    return prepare({ job, payload, options: all }, undefined, deps)
  })
}

/** A flow is dispatched again with its own id: those of its jobs do not matter. */
function idsOf(jobs: readonly NewJob[], { flows: [flow] = [] }: AppendOptions): readonly string[] {
  return flow ? [flow.id] : jobs.map(({ id }) => id)
}

/** An append without an answer may have been committed. If the log knows that it was not, it says so. */
function toDispatchError(error: unknown): unknown {
  if (!isErrandError(error, 'E_LOG_UNREACHABLE') || error.undone === true) return error
  return new ErrandError(
    'E_DISPATCH_UNKNOWN',
    `the job may be stored or not; dispatch it again with the id of this error: ${error.message}`,
    { cause: error },
  )
}

/** Rejects with an ErrandError that names the jobs: dispatching again with these ids is safe. */
async function withIds<T>(ids: readonly string[], work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!isErrandError(error))
      throw new ErrandError('E_LOG', `the job log failed: ${String(error)}`, { cause: error, ids })
    const { code, message, cause, requests } = error
    throw new ErrandError(code, message, { cause: cause ?? error, ids, requests })
  }
}

function toReceipt(job: NewJob, appended: Appended | undefined): Receipt<unknown> {
  checkStored(job, appended)
  return { id: appended.id, status: appended.status }
}

/** The job whose payload a dispatch of this job and id replaces, if it is a debounced one and one waits. */
function findDebounced(job: AnyJob, id: string, appended: Appended | undefined): Debounced | undefined {
  if (appended?.status !== 'duplicate' || appended.id === id) return undefined
  const times = resolvedJob(job).unique?.debounce
  return times && { id: appended.id, times }
}

/** True also for a job that an ordering key blocks: only the log knows that. */
function isReady({ due }: NewJob): boolean {
  return due === undefined
}

/** What a dispatch wakes: followers of events, and workers that take these queues straight from the log. */
function listTopics(jobs: readonly { readonly queue: QueueName }[]): readonly Topic[] {
  return ['events', ...listQueueTopics(jobs)]
}
