import { describe, expect, test } from 'vitest'
import { createErrand, defineJob, ErrandError, handle } from '@errand/core'
import { memoryLog, virtualClock } from '@errand/core/testing'
import type { Errand, Worker } from '@errand/core'
import type { VirtualClock } from '@errand/core/testing'
import type { Driver, JobLog, LogFactory, RequestId, Topic, WorkerRef } from '@errand/core/ports'
import { newJob, newTicket, quietLogger, until, workerRef } from '@errand/testkit'
import { database, fromUrl } from '../src/index.ts'

interface Rig {
  readonly clock: VirtualClock
  readonly log: JobLog
  readonly driver: Driver
  readonly worker: WorkerRef
}

/** The driver on a log of which some methods are replaced, and a worker with a lease on it. */
async function rig(change: (log: JobLog) => Partial<JobLog> = () => ({})): Promise<Rig> {
  const clock = virtualClock()
  const real = memoryLog().open({ clock, logger: quietLogger })
  const log = { ...real, ...change(real) }
  const worker = workerRef()
  await real.beat(worker, { queues: ['default'], taking: true, progress: [] })
  const driver = database({ poll: '2s' }).open({ clock, logger: quietLogger, log })
  return { clock, log: real, driver, worker }
}

const never = new AbortController().signal
const job = (): ReturnType<typeof newJob> => newJob({ queue: 'default' })

describe('the URL', () => {
  test.for(['database', 'database:', 'database:?poll=500ms', 'database://?poll=500ms'])(
    '%s is the driver',
    (url) => {
      expect(fromUrl(url)).toMatchObject({ errand: 'driver', name: 'database' })
    },
  )

  test.for([
    ['database:?pool=5', 'E_OPTION'],
    ['database://host/name', 'E_URL'],
    ['database:?poll=soon', 'E_DURATION'],
    ['database:?poll=0ms', 'E_OPTION'],
  ] as const)('%s is refused with %s', ([url, code]) => {
    expect(() => fromUrl(url)).toThrow(expect.objectContaining({ code }))
  })
})

test('publishing wakes each queue once, and every ticket counts as accepted', async () => {
  const woken: Topic[][] = []
  const { driver } = await rig(() => ({ notify: async (topics) => void woken.push([...topics]) }))
  const tickets = ['a', 'b', 'a'].map((queue) => newTicket({ queue }))
  expect(await driver.publish(tickets)).toEqual({ accepted: tickets, refused: [] })
  expect(woken).toEqual([['queue:a', 'queue:b']])
})

test('a job that was granted and that nobody takes goes back unbegun, and says that its driver had it', async () => {
  const { log, driver, worker } = await rig()
  const granted = job()
  await log.append([granted])
  const subscription = await driver.subscribe('default', { worker })
  const [delivery] = await subscription.next(1, never)
  await delivery!.release()
  const events = await log.readHistory(granted.id)
  expect(events.map(({ type }) => type)).toEqual(['dispatched', 'started', 'released'])
  expect(events.at(-1)).toMatchObject({ data: { why: 'undelivered' } })
  expect(await log.get(granted.id)).toMatchObject({ state: 'ready', attempt: 0 })
  await subscription.close()
})

test('a job whose wake-up was lost is found by polling', async () => {
  const { clock, log, driver, worker } = await rig(() => ({ notify: async () => undefined }))
  const subscription = await driver.subscribe('default', { worker })
  const next = subscription.next(1, never)
  await clock.advance(100)
  await log.append([job()])
  await clock.advance(3_000)
  expect(await next).toHaveLength(1)
})

test('where the log cannot be listened to, the queue is polled, and listened to again once that works', async () => {
  let listening = 0
  const { clock, log, driver, worker } = await rig((real) => ({
    wakeups: (topics, signal) => {
      listening += 1
      if (listening < 3) throw new ErrandError('E_LOG_UNREACHABLE', 'the connection was lost')
      return real.wakeups(topics, signal)
    },
  }))
  const subscription = await driver.subscribe('default', { worker })
  const first = subscription.next(1, never)
  await log.append([job()])
  await clock.advance(3_000)
  expect(await first).toHaveLength(1)
  await clock.advance(10_000)
  expect(listening).toBe(3)
  const second = subscription.next(1, never)
  await clock.advance(0)
  const [added] = await log.append([job()])
  await driver.publish(added?.status === 'added' && added.ticket ? [added.ticket] : [])
  expect(await second).toHaveLength(1)
})

test('a wake-up that comes while a take is under way is not missed', async () => {
  const answered = Promise.withResolvers<void>()
  let takes = 0
  const { log, driver, worker } = await rig((real) => ({
    async take(...args) {
      takes += 1
      const claims = await real.take(...args)
      if (takes === 1) await answered.promise
      return claims
    },
  }))
  const subscription = await driver.subscribe('default', { worker })
  const next = subscription.next(1, never)
  await until(() => takes === 1, { what: 'the first take' })
  const [added] = await log.append([job()])
  await driver.publish(added?.status === 'added' && added.ticket ? [added.ticket] : [])
  answered.resolve()
  expect(await next).toHaveLength(1)
})

test('a take whose answer was lost is repeated with the same request, also by the next subscription call', async () => {
  const requests: RequestId[] = []
  const { log, driver, worker } = await rig((real) => ({
    async take(queues, max, by, request, options) {
      requests.push(request)
      const claims = await real.take(queues, max, by, request, options)
      if (requests.length === 1) throw new ErrandError('E_LOG_UNREACHABLE', 'the answer was lost')
      return claims
    },
  }))
  await log.append([job(), job()])
  const subscription = await driver.subscribe('default', { worker })
  await expect(subscription.next(1, never)).rejects.toMatchObject({ code: 'E_LOG_UNREACHABLE' })
  await subscription.close()
  const again = await driver.subscribe('default', { worker })
  const [first] = await again.next(1, never)
  const [second] = await again.next(1, never)
  expect(requests[1]).toBe(requests[0])
  expect(requests[2]).not.toBe(requests[0])
  expect(first?.granted?.run).toBe(1)
  expect(second?.ticket.id).not.toBe(first?.ticket.id)
})

test('a worker on this driver runs the jobs of all its queues, and no more at a time than it has slots', async () => {
  await using errand = createErrand({ log: memoryLog(), driver: database(), logger: quietLogger })
  let running = 0
  let most = 0
  const done: string[] = []
  const jobs = ['a', 'b', 'c', 'd', 'e'].map((queue) => defineJob({ name: `job-${queue}`, queue }))
  const worker = errand.work(
    {
      concurrency: 3,
      handlers: jobs.map((each) =>
        handle(each, async () => {
          running += 1
          most = Math.max(most, running)
          await new Promise((resolve) => setTimeout(resolve, 1))
          running -= 1
          done.push(each.queue)
        }),
      ),
    },
    { signals: false },
  )
  await worker.ready
  for (let round = 0; round < 20; round += 1) {
    await errand.dispatchMany([jobs[0]!, jobs[1]!, jobs[0]!].map((each) => each.with(undefined)))
  }
  await errand.dispatchMany(jobs.map((each) => each.with(undefined)))
  await until(() => done.length === 65, { what: 'all jobs have run' })
  expect(most).toBe(3)
  expect(new Set(done).size).toBe(5)
})

/** A worker of these queues, whose handlers note the queue of each job that runs. */
function serving(errand: Errand, queues: readonly string[], concurrency: number, ran: string[]): Worker {
  const jobs = queues.map((queue) => defineJob({ name: `job-${queue}`, queue }))
  return errand.work(
    {
      concurrency,
      handlers: jobs.map((each) =>
        handle(each, async () => {
          await new Promise((resolve) => setTimeout(resolve, 1))
          ran.push(each.queue)
        }),
      ),
    },
    { signals: false },
  )
}

test('a hundred queues share the slots of a worker evenly', async () => {
  await using errand = createErrand({ log: memoryLog(), driver: database(), logger: quietLogger })
  const queues = Array.from({ length: 100 }, (_, index) => `q${index}`)
  const jobs = queues.map((queue) => defineJob({ name: `job-${queue}`, queue }))
  // The first queue has most, and they came first.
  await errand.dispatchMany(Array.from({ length: 200 }, () => jobs[0]!.with(undefined)))
  for (const job of jobs.slice(1))
    await errand.dispatchMany(Array.from({ length: 5 }, () => job.with(undefined)))
  const ran: string[] = []
  await using worker = serving(errand, queues, 10, ran)
  await worker.ready
  await until(() => ran.length >= 300, { what: 'three jobs of each queue have run' })
  const counts = queues.map((queue) => ran.slice(0, 300).filter((each) => each === queue).length)
  // What is prefetched may be a round ahead.
  expect(Math.min(...counts)).toBeGreaterThanOrEqual(2)
  expect(Math.max(...counts)).toBeLessThanOrEqual(5)
})

test('an idle worker asks once for all its queues, and a queue that is woken alone', async () => {
  const asked: (readonly string[])[] = []
  const { clock, log, driver, worker } = await rig((real) => ({
    async take(queues, ...rest) {
      asked.push(queues)
      return real.take(queues, ...rest)
    },
  }))
  const queues = ['a', 'b', 'c', 'default']
  await log.beat(worker, { queues, taking: true, progress: [] })
  const subscription = await driver.subscribeMany!(queues, { worker })
  const first = subscription.next(2, never)
  await clock.advance(0)
  expect(asked).toEqual([queues])
  await log.append([newJob({ queue: 'c' })], { wake: ['queue:c'] })
  expect((await first).map(({ ticket }) => ticket.queue)).toEqual(['c'])
  expect(asked).toEqual([queues, ['c']])
  const second = subscription.next(2, never)
  // By chance, polls are one to three seconds apart. A step is shorter than that, so it never reaches a second poll.
  await until(() => asked.length > 2, { what: 'a poll', pause: () => clock.advance(500) })
  expect(clock.monotonicMs()).toBeLessThanOrEqual(3_000)
  expect(asked.slice(2).map((each) => each.toSorted())).toEqual([queues])
  await log.append([job()], { wake: ['queue:default'] })
  await second
})

test('a queue of a pool is paused and resumed while the others are served', async () => {
  const log = memoryLog()
  await using errand = createErrand({ log, driver: database(), logger: quietLogger })
  const queues = ['a', 'b', 'c']
  const ran: string[] = []
  await using worker = serving(errand, queues, 2, ran)
  await worker.ready
  const dispatch = async (): Promise<void> => {
    await errand.dispatchMany(
      queues.map((queue) => defineJob({ name: `job-${queue}`, queue }).with(undefined)),
    )
  }
  await errand.queues.pause('b', { by: 'ada' })
  await dispatch()
  await until(() => ran.length === 2, { what: 'the open queues are served' })
  expect(ran.toSorted()).toEqual(['a', 'c'])
  await errand.queues.resume('b', { by: 'ada' })
  await until(() => ran.length === 3, { what: 'the paused queue is served again' })
  expect(worker.health().taking).toBe(true)
})

test('a full queue is not asked again, however often it is woken, until a job of it has ended here', async () => {
  const log = memoryLog()
  const asked: (readonly string[])[] = []
  const counted: LogFactory = {
    ...log,
    open: (context) => {
      const opened = log.open(context)
      return {
        ...opened,
        take: (queues, ...rest) => (asked.push(queues), opened.take(queues, ...rest)),
        settleAndTake: (settlements, queues, ...rest) => (
          asked.push(queues),
          opened.settleAndTake!(settlements, queues, ...rest)
        ),
      }
    },
  }
  await using errand = createErrand({ log: counted, driver: database(), logger: quietLogger })
  await errand.queues.limit('a', { concurrency: 1 }, 'ada')
  const [slow, other] = ['a', 'b'].map((queue) => defineJob({ name: `job-${queue}`, queue }))
  const held = Promise.withResolvers<void>()
  let ran = 0
  let others = 0
  const handlers = [
    handle(slow!, async () => {
      ran += 1
      await held.promise
    }),
    handle(other!, () => void (others += 1)),
  ]
  await using worker = errand.work({ concurrency: 4, handlers }, { signals: false })
  await worker.ready
  await errand.dispatchMany([slow!.with(undefined), slow!.with(undefined)])
  await until(() => ran === 1, { what: 'it has the only place' })
  // Each of them wakes the queue `a` as well.
  asked.length = 0
  for (let n = 1; n <= 5; n += 1) {
    await errand.dispatchMany([slow!.with(undefined), other!.with(undefined)])
    await until(() => others === n, { what: 'the other queue is served' })
  }
  expect(asked.filter((queues) => queues.includes('a'))).toEqual([])
  held.resolve()
  await until(() => ran === 7, { what: 'its own ends open it' })
})
