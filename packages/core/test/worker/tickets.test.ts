import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { encoded, newJob, outcomes, settlement, until, workerRef } from '@errand/testkit'
import { defineJob, handle } from '../../src/index.ts'
import { virtualClock } from '../../src/testing/virtual-clock.ts'
import { faultyDriver, losingDriver, notingDriver, repeatingDriver } from './faults.ts'
import { eventually, hold, stage } from './stage.ts'

const work = defineJob({ name: 'work', payload: z.object({ n: z.number() }) })
const numbers = (count: number): number[] => Array.from({ length: count }, (_, n) => n)

test('tickets that are delivered five times, to three workers, start each job once', async () => {
  await using on = stage({ driver: repeatingDriver(5) })
  const seen: number[] = []
  const definition = { concurrency: 4, handlers: [handle(work, ({ n }) => void seen.push(n))] }
  await Promise.all([on.work(definition), on.work(definition), on.work(definition)])
  const receipts = await on.errand.dispatchMany(numbers(60).map((n) => work.with({ n })))
  for (const { id } of receipts) await on.until(id, 'succeeded')
  expect(seen.toSorted((a, b) => a - b)).toEqual(numbers(60))
  for (const { id } of receipts) expect(await on.history(id)).toEqual(['dispatched', 'started', 'succeeded'])
})

test('during a claim tickets are asked for as many slots as are left, and claimed together after it', async () => {
  const claimed: number[] = []
  let delivered = 0
  const first = hold()
  const end = hold()
  await using on = stage({
    driver: faultyDriver((real) => ({
      async subscribe(queue, options) {
        const subscription = await real.subscribe(queue, options)
        return {
          close: () => subscription.close(),
          next: async (max, signal) => {
            const deliveries = await subscription.next(max, signal)
            delivered += deliveries.length
            return deliveries
          },
        }
      },
    })),
    wrap: (log) => ({
      ...log,
      claim: async (tickets, ...rest) => {
        claimed.push(tickets.length)
        if (claimed.length === 1) await first.promise
        return log.claim(tickets, ...rest)
      },
    }),
  })
  const seen: number[] = []
  await on.work({
    concurrency: 5,
    handlers: [handle(work, async ({ n }) => (seen.push(n), end.promise))],
  })
  for (const n of numbers(8)) await on.errand.dispatch(work, { n })
  await eventually(() => expect(delivered).toBe(5))
  expect(claimed).toEqual([1])
  first.resolve()
  await eventually(() => expect(seen).toEqual(numbers(5)))
  expect(claimed).toEqual([1, 4])
  end.resolve()
})

test('slots are free while outcomes are recorded, until two rounds of them wait for the log', async () => {
  const recorded = hold()
  await using on = stage({
    wrap: (log) => ({
      ...log,
      settle: async (...given) => {
        await recorded.promise
        return log.settle(...given)
      },
    }),
  })
  const seen: number[] = []
  await on.work({ concurrency: 2, handlers: [handle(work, ({ n }) => void seen.push(n))] })
  const receipts = await on.errand.dispatchMany(numbers(10).map((n) => work.with({ n })))
  await eventually(() => expect(seen).toHaveLength(6))
  const running = async (): Promise<number> => {
    const types = await Promise.all(receipts.map(({ id }) => on.history(id)))
    return types.filter((each) => each.at(-1) === 'started').length
  }
  expect(await running()).toBe(6)
  recorded.resolve()
  for (const { id } of receipts) await on.until(id, 'succeeded')
})

test('jobs whose tickets the broker has lost are taken from the log', async () => {
  const clock = virtualClock()
  await using on = stage({ clock, driver: losingDriver() })
  const seen: number[] = []
  await on.work({ concurrency: 2, handlers: [handle(work, ({ n }) => void seen.push(n))] })
  const receipts = await on.errand.dispatchMany(numbers(5).map((n) => work.with({ n })))
  await clock.advance(25_000)
  expect(seen).toEqual([])
  // Overdue thirty seconds after they became ready; a subscription that brings nothing looks every five.
  await clock.advance(15_000)
  for (const { id } of receipts) await on.until(id, 'succeeded')
  expect(seen).toEqual(numbers(5))
})

test('overdue jobs get a slot every ten seconds although the broker keeps all of them busy', async () => {
  const clock = virtualClock()
  let losing = true
  const driver = faultyDriver((real) => ({
    publish: async (tickets) => (losing ? { accepted: tickets, refused: [] } : real.publish(tickets)),
    depth: async () => 1,
  }))
  await using on = stage({ clock, driver })
  const chore = defineJob({ name: 'chore' })
  await on.work({
    concurrency: 1,
    handlers: [
      handle(work, () => undefined),
      // Each dispatches the next one: the only slot is never left without a ticket.
      handle(chore, async (_, ctx) => {
        await new Promise<void>((resolve) => clock.after(1_000, resolve))
        await ctx.dispatch(chore)
      }),
    ],
  })
  const { id } = await on.errand.dispatch(work, { n: 1 })
  losing = false
  await on.errand.dispatch(chore)
  await clock.advance(29_000)
  expect(await on.history(id)).toEqual(['dispatched'])
  await clock.advance(20_000)
  await on.until(id, 'succeeded')
})

test('dispatch succeeds and jobs run while the broker is down', async () => {
  const clock = virtualClock()
  const down = (): never => {
    throw new Error('connection refused')
  }
  await using on = stage({ clock, driver: faultyDriver(() => ({ publish: down, subscribe: down })) })
  const worker = await on.work({ handlers: [handle(work, () => undefined)] })
  expect(worker.health()).toMatchObject({ taking: false, why: 'queue default: connection refused' })
  const { id } = await on.errand.dispatch(work, { n: 1 })
  await clock.advance(40_000)
  await on.until(id, 'succeeded')
})

test('what ten queues of one broker meet is said once; the worker says that it takes jobs when it does', async () => {
  const clock = virtualClock()
  let refused = 'RabbitMQ at amqp://broker refuses this user'
  const driver = faultyDriver((real) => ({
    async subscribe(queue, options) {
      if (refused !== '') throw new Error(refused)
      return real.subscribe(queue, options)
    },
  }))
  await using on = stage({ clock, driver })
  const queues = numbers(10).map((n) => defineJob({ name: `job-${n}`, queue: `queue-${n}` }))
  const worker = await on.work({ handlers: queues.map((queue) => handle(queue, () => undefined)) })
  const said = (): string[] =>
    on.lines
      .filter(({ level }) => level !== 'debug')
      .map(({ message = '', fields }) => {
        const { err } = fields as { readonly err?: { readonly message: string } }
        return err ? `${message}: ${err.message}` : message
      })
  await clock.advance(60_000)
  expect(said()).toEqual([
    'the worker takes no jobs yet',
    'no jobs can be fetched; it is tried again: RabbitMQ at amqp://broker refuses this user',
  ])
  // Another reason is logged, and the same one again after a while.
  refused = 'RabbitMQ at amqp://broker has no vhost "shop"'
  await clock.advance(60_000)
  expect(said().slice(2)).toEqual([
    'no jobs can be fetched; it is tried again: RabbitMQ at amqp://broker has no vhost "shop"',
  ])
  await clock.advance(10 * 60_000)
  expect(said().length).toBeLessThanOrEqual(6)
  const before = said().length
  refused = ''
  await clock.advance(60_000)
  expect(said().slice(before)).toEqual(['the worker takes jobs', 'jobs of all queues are fetched again'])
  expect(worker.health().taking).toBe(true)
})

test('a subscription that is lost is opened again, and the jobs go on', async () => {
  const clock = virtualClock()
  let broken = 3
  const driver = faultyDriver((real) => ({
    async subscribe(queue, options) {
      const subscription = await real.subscribe(queue, options)
      return {
        close: () => subscription.close(),
        next: (max, signal) => {
          if (broken > 0) {
            broken -= 1
            throw new Error('the channel closed')
          }
          return subscription.next(max, signal)
        },
      }
    },
  }))
  await using on = stage({ clock, driver })
  const worker = await on.work({ handlers: [handle(work, () => undefined)] })
  const { id } = await on.errand.dispatch(work, { n: 1 })
  await clock.advance(5_000)
  await on.until(id, 'succeeded')
  expect(worker.health()).toMatchObject({ taking: true })
  // The same error three times in a row is logged once.
  expect(on.lines.filter((line) => line.level === 'warn')).toHaveLength(1)
})

test('a subscription that is back may have lost its tickets: jobs do not wait out the grace of those', async () => {
  const clock = virtualClock()
  let cut = (): void => undefined
  const driver = faultyDriver((real) => ({
    async subscribe(queue, options) {
      const subscription = await real.subscribe(queue, options)
      const lost = Promise.withResolvers<never>()
      lost.promise.catch(() => undefined)
      cut = () => lost.reject(new Error('the channel closed'))
      return {
        close: () => subscription.close(),
        next: (max, signal) => Promise.race([subscription.next(max, signal), lost.promise]),
      }
    },
  }))
  await using on = stage({ clock, driver })
  await on.work({ handlers: [handle(work, () => undefined)] })
  await clock.advance(2_000)
  // Published so often that its ticket has an hour; and that is gone.
  const patient = newJob({
    name: 'work',
    queue: 'default',
    payload: encoded({ n: 1 }),
    publishGraceMs: 3_600_000,
  })
  await on.log.append([patient])
  await clock.advance(20_000)
  expect(await on.history(patient.id)).toEqual(['dispatched'])
  cut()
  await clock.advance(15_000)
  await on.until(patient.id, 'succeeded')
})

test('a ticket is acked once the claim is committed, stale ones as well; none is kept while a job runs', async () => {
  const notes: string[] = []
  const driver = notingDriver(notes, (ticket) => ticket.id)
  await using on = stage({ driver })
  const go = hold()
  const begun = hold()
  await on.work({
    concurrency: 1,
    handlers: [
      handle(work, async ({ n }) => {
        begun.resolve()
        if (n === 1) await go.promise
      }),
    ],
  })
  const { id } = await on.errand.dispatch(work, { n: 1 })
  await begun.promise
  await eventually(() => expect(notes).toEqual([`acked ${id}`]))
  go.resolve()
  await on.until(id, 'succeeded')
})

test('tickets of unknown jobs and of other logs are dropped, and the next one runs', async () => {
  const driver = faultyDriver((real) => ({
    async publish(tickets) {
      const forged = { id: '00000000-0000-4000-8000-000000000000', queue: 'default', lane: 'normal' } as const
      await real.publish([
        { ...forged, log: 'another' },
        { ...forged, log: tickets[0]?.log ?? '' },
        ...tickets,
      ])
      return { accepted: tickets, refused: [] }
    },
  }))
  await using on = stage({ driver })
  await on.work({ concurrency: 1, handlers: [handle(work, () => undefined)] })
  const { id } = await on.errand.dispatch(work, { n: 1 })
  await on.until(id, 'succeeded')
  expect(on.lines.some((line) => line.message?.startsWith('a ticket of another job log'))).toBe(true)
})

test('while most tickets are stale, whole batches are fetched, and no more jobs start than slots allow', async () => {
  const asked: number[] = []
  const driver = faultyDriver((real) => ({
    async subscribe(queue, options) {
      const subscription = await real.subscribe(queue, options)
      return {
        close: () => subscription.close(),
        next: (max, signal) => {
          asked.push(max)
          return subscription.next(max, signal)
        },
      }
    },
  }))
  await using on = stage({ driver })
  const receipts = await on.errand.dispatchMany(numbers(600).map((n) => work.with({ n })))
  await on.log.cancel(
    receipts.slice(0, 590).map(({ id }) => id),
    { by: 'tester' },
  )
  let running = 0
  let most = 0
  await on.work({
    concurrency: 2,
    handlers: [
      handle(work, async () => {
        running += 1
        most = Math.max(most, running)
        await new Promise((resolve) => setTimeout(resolve, 2))
        running -= 1
      }),
    ],
  })
  for (const { id } of receipts.slice(590)) await on.until(id, 'succeeded')
  expect(Math.max(...asked)).toBe(100)
  expect(asked.length).toBeLessThan(100)
  expect(most).toBe(2)
})

test('a paused queue has no subscription until it is resumed', async () => {
  let open = 0
  const driver = faultyDriver((real) => ({
    async subscribe(queue, options) {
      const subscription = await real.subscribe(queue, options)
      open += 1
      return {
        next: (max, signal) => subscription.next(max, signal),
        close: async () => {
          open -= 1
          await subscription.close()
        },
      }
    },
  }))
  await using on = stage({ driver })
  const worker = await on.work({ lease: '600ms', handlers: [handle(work, () => undefined)] })
  expect(open).toBe(1)
  await on.errand.queues.pause('default', 'tester')
  await eventually(() => expect(open).toBe(0))
  expect(worker.health()).toMatchObject({ taking: true })
  const { id } = await on.errand.dispatch(work, { n: 1 })
  expect(await on.history(id)).toEqual(['dispatched'])
  await on.errand.queues.resume('default', 'tester')
  await on.until(id, 'succeeded')
  expect(open).toBe(1)
})

test('a limited queue hands its tickets back once, and its own end opens it', async () => {
  let open = 0
  let opened = 0
  const driver = faultyDriver((real) => ({
    async subscribe(queue, options) {
      const subscription = await real.subscribe(queue, options)
      open += 1
      opened += 1
      return {
        next: (max, signal) => subscription.next(max, signal),
        close: async () => {
          open -= 1
          await subscription.close()
        },
      }
    },
  }))
  let claims = 0
  await using on = stage({
    // It stands still: only an end can open the queue.
    clock: virtualClock(),
    driver,
    wrap: (log) => ({ ...log, claim: (...args) => ((claims += 1), log.claim(...args)) }),
  })
  await on.errand.queues.limit('default', { concurrency: 1 }, 'tester')
  const held = [Promise.withResolvers<void>(), Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const began: number[] = []
  const handler = handle(work, async ({ n }) => {
    began.push(n)
    await held[n]!.promise
  })
  await on.work({ concurrency: 3, handlers: [handler] })
  const receipts = await on.errand.dispatchMany([0, 1, 2].map((n) => work.with({ n })))
  for (const n of [0, 1, 2]) {
    await eventually(() => expect(began).toHaveLength(n + 1))
    if (n < 2) await eventually(() => expect(open).toBe(0))
    const before = [claims, opened]
    await new Promise((resolve) => setImmediate(resolve))
    expect([claims, opened]).toEqual(before)
    held[began[n]!]!.resolve()
  }
  for (const { id } of receipts) await on.until(id, 'succeeded')
})

test('a place that becomes free elsewhere is found some seconds later', async () => {
  const clock = virtualClock()
  const verdicts: string[] = []
  await using on = stage({
    clock,
    wrap: (log) => ({
      ...log,
      claim: async (...args) => {
        const answers = await log.claim(...args)
        verdicts.push(...answers.map(({ verdict }) => verdict))
        return answers
      },
    }),
  })
  await on.errand.queues.limit('default', { concurrency: 1 }, 'tester')
  const elsewhere = workerRef({ leaseMs: 600_000 })
  await on.log.beat(elsewhere, { queues: ['default'], taking: true, progress: [] })
  await on.errand.dispatch(work, { n: 1 })
  const [claim] = await on.log.take(['default'], 1, elsewhere, randomUUID())
  let ran = 0
  await on.work({ lease: '10m', handlers: [handle(work, () => void (ran += 1))] })
  const { id } = await on.errand.dispatch(work, { n: 2 })
  await until(() => verdicts.includes('full'), { pause: () => clock.advance(10) })
  await on.log.settle([settlement(claim!, outcomes.succeed())], elsewhere)
  const since = clock.monotonicMs()
  await until(() => ran === 1, { pause: () => clock.advance(250) })
  expect(clock.monotonicMs() - since).toBeLessThanOrEqual(8_000)
  expect(verdicts.filter((verdict) => verdict === 'full')).toHaveLength(1)
  await on.until(id, 'succeeded')
})
