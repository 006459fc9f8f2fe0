import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { scaleLimit } from '@errand/testkit'
import { defineJob } from '../../src/index.ts'
import type { DoctorOptions, DoctorReport } from '../../src/index.ts'
import { testInstance } from '../instance.ts'
import type { TestInstance } from '../instance.ts'
import { failure, handWorker, succeed } from './support.ts'

const job = defineJob({ name: 'a', payload: z.number(), queue: 'q' })
const numbers = (count: number): number[] => Array.from({ length: count }, (_, n) => n)

/** Time passes while doctor looks a second time. */
async function examined(
  test: TestInstance,
  options?: DoctorOptions,
  meanwhile: () => Promise<unknown> = async () => undefined,
): Promise<DoctorReport> {
  const report = test.errand.doctor(options)
  await test.clock.advance(1_000)
  await meanwhile()
  // Once more after a repair.
  await test.clock.advance(5_000)
  return report
}

async function codes(...of: Parameters<typeof examined>): Promise<readonly string[]> {
  return (await examined(...of)).findings.map(({ code }) => code)
}

test('doctor finds nothing in a fleet that is well', async () => {
  await using test = testInstance()
  await test.errand.dispatch(job, 1)
  await handWorker(test.log(), ['q'])
  expect(await examined(test)).toMatchObject({
    log: { name: 'memory', epoch: 1 },
    driver: { name: 'memory', delivers: 'tickets' },
    repairs: [],
    findings: [],
  })
})

test('a broker that refuses all queues alike is one finding, and one that refuses a single queue names it', async () => {
  await using test = testInstance({
    driver: () => ({
      depth: async (queue) => {
        throw new Error(queue === 'q7' ? 'no such queue' : 'wrong password')
      },
    }),
  })
  for (const n of numbers(10)) await test.errand.dispatch(job, n, { queue: `q${n}` })
  const { findings } = await examined(test)
  const broker = findings.filter(({ code }) => code === 'broker-unreachable')
  expect(broker).toEqual([
    expect.objectContaining({
      queue: undefined,
      message: 'memory does not answer for queues q0, q1, q2, q3, q4 and 4 more: wrong password',
    }),
    expect.objectContaining({ queue: 'q7', message: 'memory does not answer for queue q7: no such queue' }),
  ])
})

test('a broker that does not answer is a finding although no job has ever been dispatched', async () => {
  await using test = testInstance({
    driver: () => ({
      depth: async () => {
        throw new Error('wrong password')
      },
    }),
  })
  expect((await examined(test)).findings).toEqual([
    expect.objectContaining({
      severity: 'error',
      code: 'broker-unreachable',
      queue: undefined,
      message: 'memory does not answer: wrong password',
    }),
  ])
})

test('doctor names what is wrong, worst first', async () => {
  await using test = testInstance({
    driver: (driver) => ({
      depth: async (queue) => {
        if (queue === 'broken') throw new Error('connection refused')
        return driver.depth(queue)
      },
    }),
  })
  await test.errand.dispatch(job, 1, { queue: 'unserved' })
  await test.errand.dispatch(job, 1, { queue: 'broken' })
  const worker = await handWorker(test.log(), ['q', 'broken', 'keys'])
  await test.errand.dispatch(job, 1, { queue: 'keys', orderingKey: 'k' })
  await test.errand.dispatch(job, 2, { queue: 'keys', orderingKey: 'k' })
  await worker.settle(await worker.take('keys'), failure('boom'))
  await test.errand.dispatch(job, 3)
  await worker.take('q')
  await test.errand.queues.pause('q', 'mia')
  const { log } = test
  await log().beat(
    { ...worker.ref, id: 'idle' },
    { queues: ['q'], taking: false, why: 'lease', progress: [] },
  )
  await test.driver().purge('unserved')
  expect(await codes(test)).toEqual([
    'queue-unserved',
    'broker-unreachable',
    'tickets-missing',
    'worker-not-taking',
    'tickets-stale',
    'key-blocked',
    'queue-paused',
  ])
  await test.clock.advance(31_000)
  expect((await codes(test)).slice(0, 3)).toEqual(['queue-unserved', 'queue-unserved', 'worker-lost'])
})

test('doctor compares jobs and tickets: those that the broker has lost', async () => {
  await using test = testInstance()
  await test.errand.dispatchMany(numbers(3).map((n) => job.with(n)))
  await test.driver().purge('q')
  const { findings } = await examined(test)
  expect(findings).toContainEqual({
    severity: 'error',
    code: 'tickets-missing',
    queue: 'q',
    message: expect.stringMatching(/^queue q: 3 ready jobs have no ticket \(3 .*, 0 .*--repair/),
  })
})

test('doctor compares jobs and tickets: those that no job has', async () => {
  await using test = testInstance()
  await test.errand.dispatch(job, 1)
  await test
    .driver()
    .publish(numbers(4).map(() => ({ id: randomUUID(), queue: 'q', lane: 'normal', log: 'forged' })))
  const { findings } = await examined(test)
  expect(findings).toContainEqual({
    severity: 'warning',
    code: 'tickets-stale',
    queue: 'q',
    message: expect.stringMatching(/^queue q: 4 tickets have no ready job .*forged/),
  })
})

test('what is different for a moment only is no finding: a ticket on its way, a job on its way', async () => {
  await using test = testInstance()
  await test.errand.connect()
  await handWorker(test.log(), ['q'])
  await test.errand.dispatch(job, 1)
  const ticket = { id: randomUUID(), queue: 'q', lane: 'normal', log: 'here' } as const
  await test.driver().purge('q')
  expect(await codes(test, {}, async () => test.driver().publish([ticket]))).toEqual([])
  await test.driver().publish([ticket])
  expect(await codes(test, {}, async () => test.driver().purge('q'))).toEqual([])
})

test('where the depth is not exact, a difference is a hint', async () => {
  await using test = testInstance({
    driver: () => ({ capabilities: { delivers: 'tickets', depth: 'approximate' } }),
  })
  await test.errand.dispatch(job, 1)
  await handWorker(test.log(), ['q'])
  await test.driver().purge('q')
  expect((await examined(test)).findings).toMatchObject([
    { severity: 'info', code: 'tickets-missing', message: expect.stringContaining('about 1') },
  ])
})

test('where messages hold several tickets, only what no number of them explains is found', async () => {
  await using test = testInstance({
    driver: () => ({ capabilities: { delivers: 'tickets', depth: 'exact', packs: true } }),
  })
  await test.errand.dispatchMany(numbers(41).map((n) => job.with(n)))
  await handWorker(test.log(), ['q'])
  const ticket = () => ({ id: randomUUID(), queue: 'q', lane: 'normal', log: 'here' }) as const
  const messages = async (count: number): Promise<void> => {
    await test.driver().purge('q')
    await test.driver().publish(numbers(count).map(ticket))
  }
  const found = async () => (await examined(test)).findings.map(({ message }) => message)
  await messages(3)
  expect(await found()).toEqual([])
  await messages(2)
  expect(await found()).toEqual([
    expect.stringMatching(
      /^queue q: at least 1 ready jobs have no ticket \(41 .*, 2 messages with tickets on/,
    ),
  ])
  await messages(42)
  expect(await found()).toEqual([expect.stringMatching(/^queue q: at least 1 tickets have no ready job/)])
  await messages(0)
  expect(await found()).toEqual([expect.stringMatching(/^queue q: 41 ready jobs have no ticket/)])
})

test('--repair publishes again what has lost its ticket, in the order of dispatch, and once', async () => {
  await using test = testInstance()
  await test.errand.connect()
  await handWorker(test.log(), ['q'])
  const receipts = await test.errand.dispatchMany(numbers(250).map((n) => job.with(n)))
  await test.errand.dispatch(job, 1, { queue: 'well' })
  await test.driver().purge('q')
  const report = await examined(test, { repair: true })
  expect(report.repairs).toEqual([
    { queue: 'q', published: 250, left: 0, message: 'queue q: published 250 tickets again' },
  ])
  expect(report.findings.map(({ code }) => code)).toEqual(['queue-unserved'])
  expect((await examined(test, { repair: true })).repairs).toEqual([])
  expect(await test.driver().depth('well')).toBe(1)
  const worker = { id: 'w', host: 'here', pid: 1, leaseMs: 30_000, graceMs: 1_000 }
  const subscription = await test.driver().subscribe('q', { worker })
  const deliveries = await subscription.next(500, AbortSignal.timeout(scaleLimit(1_000)))
  expect(deliveries.map(({ ticket }) => ticket.id)).toEqual(receipts.map(({ id }) => id))
  await subscription.close()
})

test('--repair with a broker that takes nothing: the jobs are due at once, and it says so', async () => {
  let refuses = false
  await using test = testInstance({
    driver: (driver) => ({
      publish: async (tickets) => (refuses ? { accepted: [], refused: [] } : driver.publish(tickets)),
    }),
  })
  await test.errand.connect()
  const worker = await handWorker(test.log(), ['q'])
  await test.errand.dispatchMany(numbers(3).map((n) => job.with(n)))
  await test.driver().purge('q')
  refuses = true
  const report = await examined(test, { repair: true })
  expect(report.repairs).toMatchObject([{ queue: 'q', published: 0, left: 3 }])
  expect(report.findings.map(({ code }) => code)).toEqual(['tickets-missing'])
  const overdue = await test.log().take(['q'], 10, worker.ref, randomUUID(), { overdue: true })
  expect(overdue).toHaveLength(3)
})

test('without --repair nothing is changed', async () => {
  await using test = testInstance()
  await test.errand.connect()
  const worker = await handWorker(test.log(), ['q'])
  await test.errand.dispatch(job, 1)
  await test.driver().purge('q')
  await examined(test)
  expect(await test.driver().depth('q')).toBe(0)
  expect(await test.log().take(['q'], 10, worker.ref, randomUUID(), { overdue: true })).toEqual([])
})

/** A fleet with one worker that beats and starts nothing, and a job that has been ready for this long. */
async function idleFleet(test: TestInstance, options: { readonly delay?: number } = {}) {
  await test.errand.connect()
  const worker = await handWorker(test.log(), ['q'])
  await test.errand.dispatch(job, 1, options)
  const beat = (): Promise<unknown> =>
    test.log().beat(worker.ref, { queues: ['q'], taking: true, progress: [] })
  for (let passed = 0; passed < 70; passed += 10) {
    await test.clock.advance(10_000)
    await beat()
    await test.log().sweep({ limit: 10, republish: false, queues: [], skipQueues: [] })
  }
  return worker
}

test('a worker that says it takes jobs, and starts none although one waits, is named', async () => {
  await using test = testInstance()
  const { ref } = await idleFleet(test)
  const { findings } = await examined(test)
  expect(findings).toMatchObject([
    { severity: 'error', code: 'worker-idle', queue: 'q', message: expect.stringContaining(ref.id) },
  ])
  await test.errand.queues.pause('q', 'mia')
  expect(await codes(test)).toEqual(['queue-paused'])
})

test('a worker that waits for the place of a limited queue is not idle, and doctor names the limit', async () => {
  await using test = testInstance()
  await idleFleet(test)
  await test.errand.queues.limit('q', { concurrency: 7 }, 'mia')
  expect((await examined(test)).findings).toEqual([
    {
      severity: 'info',
      code: 'queue-limited',
      queue: 'q',
      message: 'queue q runs at most 7 at a time, as mia has set; 1 jobs are ready',
    },
  ])
})

test('a worker that starts something while doctor looks is not idle', async () => {
  await using test = testInstance()
  const worker = await idleFleet(test)
  await test.errand.dispatch(job, 2, { lane: 'critical' })
  const meanwhile = async (): Promise<void> => worker.settle(await worker.take('q'), succeed())
  expect(await codes(test, {}, meanwhile)).not.toContain('worker-idle')
})

test('a worker whose jobs have only just become ready is not idle', async () => {
  await using test = testInstance()
  await idleFleet(test, { delay: 65_000 })
  expect((await test.errand.queues.list())[0]).toMatchObject({ ready: 1 })
  expect(await codes(test)).not.toContain('worker-idle')
})
