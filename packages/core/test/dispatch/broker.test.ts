import { expect, test } from 'vitest'
import { z } from 'zod'
import { ErrandError, defineJob } from '../../src/index.ts'
import type { Ticket } from '../../src/ports.ts'
import { testInstance } from '../instance.ts'

const job = defineJob({ name: 'a', queue: 'q', payload: z.number() })
const never = new Promise<never>(() => undefined)
const settled = () => new Promise<void>((resolve) => setImmediate(resolve))

/** Whether a promise is settled by now. */
async function isDone(promise: Promise<unknown>): Promise<boolean> {
  await settled()
  return Promise.race([promise.then(() => true), settled().then(() => false)])
}

test('a dispatched job’s ticket is on the broker when dispatch resolves', async () => {
  await using test = testInstance()
  const receipt = await test.errand.dispatch(job, 1)
  expect(await test.driver().depth('q')).toBe(1)
  const sub = await test.driver().subscribe('q', { worker: {} as never })
  const [delivery] = await sub.next(1, new AbortController().signal)
  expect(delivery?.ticket).toMatchObject({ id: receipt.id, queue: 'q', lane: 'normal' })
})

test('where jobs are taken straight from the log nothing is published: storing them wakes the workers', async () => {
  const woken: unknown[] = []
  let published = 0
  await using test = testInstance({
    log: (log) => ({ append: (jobs, options) => (woken.push(options?.wake), log.append(jobs, options)) }),
    driver: (driver) => ({
      capabilities: { delivers: 'claims', depth: 'unknown' },
      publish: (tickets) => ((published += 1), driver.publish(tickets)),
    }),
  })
  await test.errand.dispatch(job, 1)
  await test.errand.dispatch(job, 2, { delay: '1m' })
  await test.errand.dispatchMany([job.with(3), job.with(4)])
  expect(woken).toEqual([['events', 'queue:q'], ['events'], ['events', 'queue:q']])
  expect(published).toBe(0)
})

test('a delayed or blocked job has no ticket yet', async () => {
  await using test = testInstance()
  await test.errand.dispatch(job, 1, { orderingKey: 'k' })
  await test.errand.dispatch(job, 2, { orderingKey: 'k' })
  await test.errand.dispatch(job, 3, { delay: '1m' })
  expect(await test.driver().depth('q')).toBe(1)
})

test('dispatches of one tick are published together', async () => {
  const published: number[] = []
  await using test = testInstance({
    driver: (driver) => ({ publish: (tickets) => (published.push(tickets.length), driver.publish(tickets)) }),
  })
  await Promise.all([1, 2, 3].map((n) => test.errand.dispatch(job, n)))
  expect(published).toEqual([3])
})

test('a broker that fails does not fail the dispatch; it is told once, without the credentials', async () => {
  await using test = testInstance({
    driver: () => ({ publish: () => Promise.reject(new Error('lost amqp://user:secret@host')) }),
  })
  for (const n of [1, 2, 3]) expect(await test.errand.dispatch(job, n)).toMatchObject({ status: 'added' })
  const warnings = test.logger.lines.filter(({ level }) => level === 'warn')
  expect(warnings).toHaveLength(1)
  expect(JSON.stringify(test.logger.lines)).not.toContain('secret')
})

test('dispatch waits a second for a broker that does not answer, and from then on not at all', async () => {
  let calls = 0
  await using test = testInstance({ driver: () => ({ publish: () => (calls++, never) }) })
  const first = test.errand.dispatch(job, 1)
  expect(await isDone(first)).toBe(false)
  await test.clock.advance(999)
  expect(await isDone(first)).toBe(false)
  await test.clock.advance(1)
  expect(await first).toMatchObject({ status: 'added' })

  expect(await test.errand.dispatch(job, 2)).toMatchObject({ status: 'added' })
  expect(calls).toBe(1)
  await test.clock.advance(20_000)
})

test('no dispatch waits for a broker that is known to be down, not even the one that tries it again', async () => {
  let calls = 0
  await using test = testInstance({ driver: () => ({ publish: () => (calls++, never) }) })
  const first = test.errand.dispatch(job, 1)
  await test.clock.advance(1_000)
  await first
  // The first publish is given up after its deadline; the next dispatch tries again.
  await test.clock.advance(10_000)
  expect(await isDone(test.errand.dispatch(job, 2))).toBe(true)
  expect(calls).toBe(2)
  await test.clock.advance(20_000)
})

test('publishWait is a setting; a short wait does not make a slow broker count as down', async () => {
  let answer = (): void => undefined
  const asked = new Promise<void>((resolve) => {
    answer = resolve
  })
  await using test = testInstance({
    config: { publishWait: '10ms' },
    driver: (driver) => ({ publish: (tickets) => asked.then(() => driver.publish(tickets)) }),
  })
  const dispatched = test.errand.dispatch(job, 1)
  await test.clock.advance(10)
  expect(await isDone(dispatched)).toBe(true)
  await test.clock.advance(500)
  answer()
  await settled()
  expect(test.logger.lines.filter(({ level }) => level === 'warn')).toEqual([])
  expect(await test.driver().depth('q')).toBe(1)
})

test('while the broker is down one publish a second looks whether it is back; then all are published again', async () => {
  let up = false
  const tries: number[] = []
  await using test = testInstance({
    driver: (driver) => ({
      publish: async (tickets: readonly Ticket[]) => {
        tries.push(tickets.length)
        if (!up) throw new ErrandError('E_DRIVER', 'connection refused')
        return driver.publish(tickets)
      },
    }),
  })
  for (let n = 0; n < 10; n += 1) await test.errand.dispatch(job, n)
  expect(tries).toEqual([1])
  await test.clock.advance(1_000)
  await test.errand.dispatch(job, 10)
  await settled()
  expect(tries).toEqual([1, 1])

  up = true
  await test.clock.advance(1_000)
  await test.errand.dispatch(job, 11)
  await settled()
  await test.errand.dispatch(job, 12)
  expect(tries).toEqual([1, 1, 1, 1])
  expect(await test.driver().depth('q')).toBe(2)
  expect(test.logger.lines.map(({ message }) => message)).toContain('broker is back')
})

test('tickets that the broker refuses are told with the reason, and the job stays in the log', async () => {
  await using test = testInstance({
    driver: () => ({
      publish: async (tickets) => ({
        accepted: [],
        refused: tickets.map((ticket) => ({ ticket, why: 'queue q has other arguments' })),
      }),
    }),
  })
  const { id } = await test.errand.dispatch(job, 1)
  expect(await test.errand.jobs.get(id)).toMatchObject({ state: 'ready' })
  expect(test.logger.lines).toMatchObject([
    { level: 'warn', fields: { queue: 'q', why: expect.any(String) } },
  ])
})

test('logs of a dispatch hold no payload', async () => {
  await using test = testInstance({ driver: () => ({ publish: () => Promise.reject(new Error('down')) }) })
  const secret = defineJob({ name: 's', payload: z.string() })
  await test.errand.dispatch(secret, 'topsecret')
  await test.errand.dispatch(secret, 7 as never).catch(() => undefined)
  expect(JSON.stringify(test.logger.lines)).not.toContain('topsecret')
})
