import { expect, test } from 'vitest'
import type { Claim, WorkerRef } from '../../src/job/claim.ts'
import type { Delivery, Driver, Subscription } from '../../src/ports/driver.ts'
import { virtualClock } from '../../src/testing/virtual-clock.ts'
import type { VirtualClock } from '../../src/testing/virtual-clock.ts'
import { RoutedSubscription } from '../../src/transfer/routed-subscription.ts'
import { recordingLogger } from '../recording-logger.ts'

const worker: WorkerRef = { id: 'w', host: 'here', pid: 1, leaseMs: 30_000, graceMs: 1_000 }
const never = new AbortController().signal

/** A driver whose answers the test gives. */
interface HandDriver {
  readonly driver: Driver
  /** How many were asked for, in each ask. */
  readonly asked: number[]
  /** Answers the ask under way, or the next one. */
  bring(...ids: readonly string[]): void
  /** The ask under way fails, or the next one. */
  fail(): void
  /** Subscribing fails. */
  refuses: boolean
  /** Subscribing does not answer. */
  hangs: boolean
  /** Subscribing answers when this has resolved. */
  slow: Promise<void> | undefined
  subscriptions: number
  closed: number
  released: number
}

type Answer = readonly Delivery[] | Error

function handDriver(delivers: 'tickets' | 'claims' = 'tickets'): HandDriver {
  let queued: Answer[] = []
  let waiting: ((answer: Answer) => void) | undefined
  const give = (answer: Answer): void => {
    if (waiting) waiting(answer)
    else queued.push(answer)
  }
  const delivery = (id: string): Delivery => ({
    ticket: { id, queue: 'q', lane: 'normal', log: 'l' },
    ...(delivers === 'claims' ? { granted: { id } as Claim } : {}),
    ack: async () => undefined,
    release: async () => void (made.released += 1),
  })
  const subscription: Subscription = {
    async next(max, signal) {
      made.asked.push(max)
      const answer =
        queued.shift() ??
        (await new Promise<Answer>((resolve) => {
          const end = (): void => resolve([])
          waiting = resolve
          if (signal.aborted) end()
          else signal.addEventListener('abort', end, { once: true })
        }))
      waiting = undefined
      if (answer instanceof Error) throw answer
      return answer
    },
    close: async () => void (made.closed += 1),
  }
  const made: HandDriver = {
    asked: [],
    refuses: false,
    hangs: false,
    slow: undefined,
    subscriptions: 0,
    closed: 0,
    released: 0,
    bring: (...ids) => give(ids.map((id) => delivery(id))),
    fail: () => give(new Error('the connection is lost')),
    driver: {
      port: 1,
      name: delivers,
      capabilities: { delivers, depth: 'unknown' },
      publish: async (tickets) => ({ accepted: tickets, refused: [] }),
      async subscribe() {
        if (made.hangs) await new Promise<never>(() => {})
        await made.slow
        if (made.refuses) throw new Error('it cannot be reached')
        made.subscriptions += 1
        queued = []
        return subscription
      },
      depth: async () => undefined,
      purge: async () => undefined,
      close: async () => undefined,
    },
  }
  return made
}

interface Stage {
  readonly clock: VirtualClock
  readonly subscription: RoutedSubscription
  next(max?: number, slots?: number): Promise<readonly string[]>
}

function newSubscription(mostClaims?: () => number) {
  const clock = virtualClock()
  const logger = recordingLogger()
  const options = { worker, ...(mostClaims && { mostClaims }) }
  const parts = { queues: ['q'], many: false, options, clock, logger, closed: () => undefined }
  return { clock, subscription: new RoutedSubscription(parts) }
}

async function subscribed(...drivers: readonly HandDriver[]): Promise<Stage> {
  let mostClaims = 0
  const { clock, subscription } = newSubscription(() => mostClaims)
  await subscription.begin(drivers.map(({ driver }) => driver))
  return {
    clock,
    subscription,
    next: async (max = 10, slots = max) => {
      mostClaims = slots
      return (await subscription.next(max, never)).map(({ ticket }) => ticket.id)
    },
  }
}

test('with one driver it passes through: what is asked, what is brought, and what fails', async () => {
  const only = handDriver()
  const on = await subscribed(only)
  const first = on.next(7)
  only.bring('1', '2')
  expect(await first).toEqual(['1', '2'])
  expect(only.asked).toEqual([7])
  only.fail()
  await expect(on.next()).rejects.toThrow('the connection is lost')
})

test('during a move the first driver with tickets answers, and tickets of the other come with it', async () => {
  const [current, old] = [handDriver(), handDriver()]
  const on = await subscribed(current, old)
  const first = on.next()
  await on.clock.advance(1)
  old.bring('old')
  expect(await first).toEqual(['old'])
  const second = on.next()
  await on.clock.advance(1)
  current.bring('new')
  expect(await second).toEqual(['new'])
  current.bring('new too')
  old.bring('old too')
  expect(await on.next()).toEqual(['new too', 'old too'])
  expect([current.released, old.released]).toEqual([0, 0])
})

test('what both may bring at once has room, and no more claims are asked for than slots are free', async () => {
  const [claims, tickets] = [handDriver('claims'), handDriver()]
  const on = await subscribed(claims, tickets)
  for (const [max, slots] of [
    [10, 10],
    [100, 3],
    [1, 1],
  ] as const) {
    const asked = on.next(max, slots)
    await on.clock.advance(1)
    tickets.bring('1')
    await asked
  }
  expect(claims.asked).toEqual([5, 2, 1])
  expect(tickets.asked).toEqual([5, 50, 1])
})

test('a broken driver does not stop the other one, and is subscribed to again with backoff', async () => {
  for (const which of ['current', 'old'] as const) {
    const drivers = { current: handDriver(), old: handDriver() }
    const broken = drivers[which]
    const sound = which === 'old' ? drivers.current : drivers.old
    const on = await subscribed(drivers.current, drivers.old)
    const first = on.next()
    await on.clock.advance(1)
    broken.refuses = true
    broken.fail()
    await on.clock.advance(1)
    sound.bring('1')
    expect(await first).toEqual(['1'])
    const second = on.next()
    await on.clock.advance(10_000)
    expect(broken.subscriptions).toBe(1)
    broken.refuses = false
    await on.clock.advance(6_000)
    expect(broken.subscriptions).toBe(2)
    broken.bring('2')
    expect(await second).toEqual(['2'])
    await on.subscription.close()
  }
})

test('it begins with the driver that answers: one that cannot be reached, or hangs, joins later', async () => {
  for (const trouble of ['refuses', 'hangs'] as const) {
    const [current, old] = [handDriver(), handDriver()]
    old[trouble] = true
    const on = await subscribed(current, old)
    current.bring('1')
    expect(await on.next()).toEqual(['1'])
    await on.subscription.close()
  }
})

test('a driver that hangs while it is subscribed to is left in the middle of it', async () => {
  const [dead, next] = [handDriver(), handDriver()]
  dead.hangs = true
  const { subscription } = newSubscription()
  const begun = subscription.begin([dead.driver])
  void subscription.use([next.driver, dead.driver])
  await begun
  next.bring('1')
  expect((await subscription.next(10, never)).map(({ ticket }) => ticket.id)).toEqual(['1'])
  await subscription.close()
})

test.each(['answers', 'refuses'] as const)(
  'a driver that is left while it is still being subscribed to, and then %s, is drained all the same',
  async (how) => {
    const [old, next] = [handDriver(), handDriver()]
    const slow = Promise.withResolvers<void>()
    old.slow = slow.promise
    const { clock, subscription } = newSubscription()
    const begun = subscription.begin([old.driver])
    void subscription.use([next.driver, old.driver])
    await begun
    const asked = subscription.next(10, never)
    old.refuses = how === 'refuses'
    slow.resolve()
    await clock.advance(1)
    old.refuses = false
    await clock.advance(10_000)
    old.bring('1')
    expect((await asked).map(({ ticket }) => ticket.id)).toEqual(['1'])
    await subscription.close()
  },
)

test('with both broken it fails, so that the worker subscribes again and says that it takes nothing', async () => {
  const [current, old] = [handDriver(), handDriver()]
  const on = await subscribed(current, old)
  current.fail()
  old.fail()
  await expect(on.next()).rejects.toThrow('the connection is lost')
  await on.subscription.close()
  current.refuses = true
  old.refuses = true
  await expect(subscribed(current, old)).rejects.toThrow('it cannot be reached')
})

test('a driver that joins or leaves is noticed during an ask; its tickets can be acked before it is closed', async () => {
  const [first, second] = [handDriver(), handDriver()]
  const on = await subscribed(first)
  const asked = on.next()
  await on.clock.advance(1)
  void on.subscription.use([second.driver, first.driver])
  await on.clock.advance(1)
  second.bring('1')
  expect(await asked).toEqual(['1'])

  const again = on.next()
  await on.clock.advance(1)
  let left = false
  void on.subscription.use([second.driver]).then(() => (left = true))
  await on.clock.advance(500)
  expect(first.closed).toBe(0)
  await on.clock.advance(600)
  expect([first.closed, left]).toEqual([1, true])
  second.bring('2')
  expect(await again).toEqual(['2'])
  expect(second.closed).toBe(0)
})

test('the signal, and closing, end an ask during a move with what has come', async () => {
  const [current, old] = [handDriver(), handDriver()]
  const on = await subscribed(current, old)
  const giveWay = new AbortController()
  const asked = on.subscription.next(10, giveWay.signal)
  giveWay.abort()
  expect(await asked).toEqual([])
  const closing = on.next()
  await on.clock.advance(1)
  await on.subscription.close()
  expect(await closing).toEqual([])
  expect([current.closed, old.closed]).toEqual([1, 1])
})
