// Scripts that do nothing but await Errand, one promise after the other.
import {
  batch,
  createErrand,
  defineJob,
  defineLimit,
  defineMessage,
  handle,
  isErrandError,
} from '@errand/core'
import type { Errand, Worker } from '@errand/core'

/** Scripts run side by side on one log: what one does to a whole queue must not touch the jobs of the others. */
export const queueNames = ['alone', 'alone-operated'] as const
const count = defineJob({ name: 'alone.count', queue: queueNames[0] })
const operated = defineJob({ name: 'alone.operated', queue: queueNames[1] })
// A limit of this process, because scripts run side by side.
const limited = defineLimit({ name: `alone-${process.pid}`, concurrency: 1 })
const limitedJob = defineJob({ name: 'alone.limited', queue: `alone-${process.pid}`, limit: limited })
const word = defineMessage({ name: 'alone.word' })
const later = { delay: '1h' } as const
const me = { by: 'a script' }

/** Prints what is awaited next, and awaits it. */
type Await = <T>(what: string, promise: PromiseLike<T>) => Promise<T>

export type Story = (errand: Errand, awaits: Await) => Promise<void>

function startWorker(errand: Errand): Worker {
  return errand.work({ handlers: [handle(count, () => {})] }, { signals: false })
}

async function collect(events: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of events);
}

async function refused(promise: Promise<unknown>, code: string): Promise<void> {
  try {
    await promise
  } catch (error) {
    if (isErrandError(error, code as never)) return
    throw error
  }
  throw new Error(`this should have been refused with ${code}`)
}

export const stories: Readonly<Record<string, Story>> = {
  'closes an instance that was never used': (errand, awaits) => awaits('close', errand.close()),

  async 'connects and closes'(errand, awaits) {
    await awaits('connect', errand.connect())
    await awaits('close', errand.close())
  },

  async 'dispatches and closes'(errand, awaits) {
    await awaits('dispatch', errand.dispatch(count))
    await awaits('close', errand.close())
  },

  async 'dispatches many and disposes of the instance'(errand, awaits) {
    await awaits('dispatchMany', errand.dispatchMany([count.with(undefined), count.with(undefined)]))
    await awaits('[Symbol.asyncDispose]', errand[Symbol.asyncDispose]())
  },

  async 'looks after its jobs'({ jobs, ...errand }, awaits) {
    const { id } = await awaits('dispatch', errand.dispatch(count, undefined, later))
    await awaits('jobs.get', jobs.get(id))
    await awaits('jobs.list', collect(jobs.list({ queue: count.queue })))
    await awaits('jobs.change', jobs.change(id, { lane: 'high' }, me))
    await awaits('jobs.cancel', jobs.cancel(id, me))
    await awaits('jobs.replay', jobs.replay(id, me))
    await awaits('jobs.skip', jobs.skip({ queue: count.queue }, me))
    await awaits('jobs.blockedKeys', jobs.blockedKeys())
    await awaits('jobs.prune', jobs.prune())
    await awaits('close', errand.close())
  },

  async 'looks at events, and follows them until a signal says enough'({ events, ...errand }, awaits) {
    const { id } = await awaits('dispatch', errand.dispatch(count, undefined, later))
    await awaits('events.of', events.of(id))
    await awaits('events.read', collect(events.read()))
    // This signal does not keep the process alive either.
    const signal = AbortSignal.timeout(300)
    await awaits('events.follow', collect(events.follow({ job: id, signal })))
    await awaits('close', errand.close())
  },

  async 'looks after queues, workers and the system'({ queues, workers, transfer, ...errand }, awaits) {
    await awaits('migrate', errand.migrate())
    await awaits('dispatch', errand.dispatch(operated, undefined, later))
    await awaits('queues.list', queues.list())
    await awaits('queues.pause', queues.pause(operated.queue, me))
    await awaits('queues.resume', queues.resume(operated.queue, me))
    await awaits('queues.limit', queues.limit(operated.queue, { concurrency: 5 }, me))
    await awaits('queues.get', queues.get(operated.queue))
    await awaits('queues.purge', queues.purge(operated.queue, me))
    await awaits('workers.list', workers.list())
    await awaits('workers.stop', refused(workers.stop('nosuch'), 'E_NOT_FOUND'))
    await awaits('transfer.status', transfer.status())
    await awaits('transfer.cancel', refused(transfer.cancel(me), 'E_NOT_ALLOWED'))
    await awaits('transfer.to', refused(transfer.to('nosuch://here', me), 'E_URL'))
    await awaits(
      'grants',
      errand.grants({ dispatcher: 'web' }).catch(() => ''),
    )
    await awaits('doctor', errand.doctor())
    await awaits('close', errand.close())
  },

  async 'looks after schedules'({ schedules, ...errand }, awaits) {
    const name = `alone-${process.pid}`
    await awaits('schedules.set', schedules.set({ name, job: count, every: '1d' }, me))
    await awaits('schedules.list', schedules.list())
    await awaits('schedules.get', schedules.get(name))
    await awaits('schedules.next', schedules.next(name))
    await awaits('schedules.pause', schedules.pause(name, me))
    await awaits('schedules.resume', schedules.resume(name, me))
    await awaits('schedules.trigger', schedules.trigger(name, me))
    await awaits('schedules.remove', schedules.remove(name))
    await awaits('close', errand.close())
  },

  async 'looks after limits'({ limits, ...errand }, awaits) {
    const { name } = limited
    const worker = errand.work({ handlers: [handle(limitedJob, () => {})] }, { signals: false })
    await awaits('worker.ready', worker.ready)
    await awaits('limits.list', limits.list())
    await awaits('limits.get', limits.get(name))
    await awaits('limits.keys', limits.keys(name))
    await awaits('limits.set', limits.set(name, { concurrency: 2 }, me))
    await awaits('limits.reset', limits.reset(name, me))
    await awaits('limits.close', limits.close(name, { for: '1h' }, me))
    await awaits('limits.open', limits.open(name, {}, me))
    await awaits('worker.stop', worker.stop())
    await awaits('limits.remove', limits.remove(name))
    await awaits('close', errand.close())
  },

  async 'looks after flows, and after what jobs need and remember'({ flows, jobs, ...errand }, awaits) {
    const flow = await awaits('dispatch', errand.dispatch(batch([count.with(undefined, later)])))
    const { id } = await awaits('dispatch', errand.dispatch(count, undefined, { after: [flow] }))
    await awaits('jobs.needs', jobs.needs(id))
    await awaits('jobs.neededBy', jobs.neededBy(flow.id))
    await awaits('jobs.send', jobs.send(id, word))
    await awaits('jobs.memory', jobs.memory(id))
    await awaits('flows.get', flows.get(flow.id))
    await awaits('flows.list', collect(flows.list()))
    await awaits('flows.members', collect(flows.members(flow.id)))
    await awaits('flows.cancel', flows.cancel(flow.id, me))
    await awaits('flows.follow', collect(flows.follow(flow.id)))
    await awaits('flows.replay', flows.replay(flow.id, me))
    await awaits('flows.cancel', flows.cancel(flow.id, me))
    await awaits('close', errand.close())
  },

  async 'waits for a result that does not come in time'(errand, awaits) {
    const receipt = await awaits('dispatch', errand.dispatch(count, undefined, later))
    await awaits('result', refused(errand.result(receipt, { timeout: '300ms' }), 'E_RESULT_TIMEOUT'))
    await awaits('close', errand.close())
  },

  async 'closes while it waits for a result'(errand, awaits) {
    const receipt = await awaits('dispatch', errand.dispatch(count, undefined, later))
    const order: string[] = []
    const result = refused(errand.result(receipt), 'E_CLOSED').then(() => order.push('rejected'))
    const closed = errand.close().then(() => order.push('closed'))
    await awaits('result', result)
    await awaits('close', closed)
    // It must be rejected at once, and not later or because its log is closed.
    if (order[0] !== 'rejected') throw new Error('the instance was closed before the result was given up')
  },

  async works(errand, awaits) {
    const worker = startWorker(errand)
    await awaits('worker.ready', worker.ready)
    const receipt = await awaits('dispatch', errand.dispatch(count))
    await awaits('result', errand.result(receipt))
    await awaits('events.follow', collect(errand.events.follow({ job: receipt.id })))
    await awaits('worker.stop', worker.stop())
    await awaits('worker.finished', worker.finished)
    await awaits('close', errand.close())
  },

  async 'disposes of its worker and then of the instance'(errand, awaits) {
    const worker = startWorker(errand)
    await awaits('worker.ready', worker.ready)
    await awaits('worker.[Symbol.asyncDispose]', worker[Symbol.asyncDispose]())
    await awaits('[Symbol.asyncDispose]', errand[Symbol.asyncDispose]())
  },

  async 'closes with a worker that is still starting'(errand, awaits) {
    const worker = startWorker(errand)
    const finished = worker.finished
    await awaits('close', errand.close())
    await awaits('worker.finished', finished)
  },
}

/** Scripts that end without `close()`: after the last line, with every driver. */
export const forgetful: Readonly<Record<string, Story>> = {
  async 'only dispatches'(errand, awaits) {
    await awaits('dispatch', errand.dispatch(count))
  },

  async 'looks at its queues and at what follows a dispatch'(errand, awaits) {
    await awaits('queues.list', errand.queues.list())
    const { id } = await awaits('dispatch', errand.dispatch(count, undefined, later))
    for await (const _ of errand.events.follow({ job: id })) break
    await awaits('doctor', errand.doctor())
  },

  async 'takes one step of following, and neither goes on nor leaves'({ events, ...errand }, awaits) {
    await awaits('dispatch', errand.dispatch(count, undefined, later))
    const steps = events.follow({ after: 'start' })[Symbol.asyncIterator]()
    await awaits('events.follow', steps.next())
  },

  async 'gives up a result'(errand, awaits) {
    const receipt = await awaits('dispatch', errand.dispatch(count, undefined, later))
    await awaits('result', refused(errand.result(receipt, { timeout: '100ms' }), 'E_RESULT_TIMEOUT'))
  },

  async 'stops its worker'(errand, awaits) {
    const worker = startWorker(errand)
    await awaits('worker.ready', worker.ready)
    await awaits('result', errand.result(await errand.dispatch(count)))
    await awaits('worker.stop', worker.stop())
  },
}

export function errandHere(): Errand {
  return createErrand({ logger: { debug() {}, info() {}, warn() {}, error() {} } })
}
