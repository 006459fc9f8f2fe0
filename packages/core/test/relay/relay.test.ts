import { expect, test } from 'vitest'
import type { Ticket } from '../../src/job/ticket.ts'
import type { Driver } from '../../src/ports/driver.ts'
import type { JobLog, LostForGood, SweepOptions, SweepReport } from '../../src/ports/job-log.ts'
import type { Publisher } from '../../src/dispatch/publisher.ts'
import { Relay } from '../../src/relay/relay.ts'
import { virtualClock } from '../../src/testing/virtual-clock.ts'
import type { VirtualClock } from '../../src/testing/virtual-clock.ts'
import { recordingLogger } from '../recording-logger.ts'
import type { RecordedLine } from '../recording-logger.ts'

const ticket = (id: string, queue = 'default'): Ticket => ({ id, queue, lane: 'normal', log: 'here' })
const nothing: SweepReport = {
  ran: true,
  tickets: [],
  republished: [],
  failed: [],
  lost: 0,
  full: false,
  schedules: [],
  nextDueInMs: undefined,
}

interface Rig {
  readonly clock: VirtualClock
  readonly relay: Relay
  readonly sweeps: { readonly atMs: number; readonly options: SweepOptions }[]
  readonly published: string[]
  readonly confirmed: string[]
  readonly lines: readonly RecordedLine[]
  readonly failed: LostForGood[]
  depth: number | undefined | Promise<never>
  accepts: boolean
  quiet: string[]
  next: (options: SweepOptions) => Partial<SweepReport>
}

/** A relay over a log that answers what the test says. */
function rig(
  capabilities: Driver['capabilities'] = { delivers: 'tickets', depth: 'exact' },
  depth = 0,
): Rig & AsyncDisposable {
  const clock = virtualClock()
  const logger = recordingLogger()
  const stop = new AbortController()
  const on: Omit<Rig, 'relay'> = {
    clock,
    sweeps: [],
    published: [],
    confirmed: [],
    lines: logger.lines,
    failed: [],
    depth,
    accepts: true,
    quiet: [],
    next: () => ({}),
  }
  const log = {
    sweep: async (options: SweepOptions) => {
      on.sweeps.push({ atMs: clock.monotonicMs(), options })
      return { ...nothing, ...on.next(options) }
    },
    expedite: async () => ({ jobs: 0, more: false }),
    published: async (tickets: readonly Ticket[]) => void on.confirmed.push(...tickets.map(({ id }) => id)),
  } as unknown as JobLog
  const publisher: Publisher = {
    down: undefined,
    publish: async (tickets) => {
      if (!on.accepts) return { accepted: [], refused: [] }
      const [refused, accepted] = [true, false].map((is) =>
        tickets.filter(({ id }) => (id === 'poisoned') === is),
      )
      on.published.push(...(accepted ?? []).map(({ id }) => id))
      return {
        accepted: accepted ?? [],
        refused: (refused ?? []).map((each) => ({
          ticket: each,
          why: 'it is not to the taste of the broker',
        })),
      }
    },
    close: async () => undefined,
  }
  const relay = new Relay({
    log,
    driver: { capabilities, depth: async () => on.depth } as unknown as Driver,
    publisher,
    clock,
    logger,
    queues: ['default'],
    quiet: () => on.quiet,
    everyMs: 1_000,
    publishGraceMs: 30_000,
    random: () => 1,
    failed: async (lost) => void on.failed.push(lost),
  })
  const running = relay.run(stop.signal)
  return Object.assign(on, {
    relay,
    [Symbol.asyncDispose]: async () => {
      stop.abort()
      // It may be waiting for a depth, for a second of this clock.
      await clock.advance(1_000)
      await running
    },
  })
}

const once = (report: Partial<SweepReport>): (() => Partial<SweepReport>) => {
  let told = false
  return () => {
    if (told) return {}
    told = true
    return report
  }
}

test('what has become due is published; only what was published again is confirmed to the log', async () => {
  await using on = rig()
  on.next = once({ tickets: [ticket('due'), ticket('overdue')], republished: [ticket('overdue')] })
  await on.clock.advance(2_000)
  expect(on.published).toEqual(['due', 'overdue'])
  expect(on.confirmed).toEqual(['overdue'])
})

test('tickets that the broker does not accept are not confirmed, and their queue is left alone for a while', async () => {
  await using on = rig()
  on.accepts = false
  on.next = once({ tickets: [ticket('overdue')], republished: [ticket('overdue')] })
  await on.clock.advance(1_000)
  expect(on.confirmed).toEqual([])
  expect(on.sweeps.at(-1)?.options.skipQueues).toEqual(['default'])
  await on.clock.advance(6_000)
  expect(on.sweeps.at(-1)?.options.skipQueues).toEqual([])
})

test('a ticket that the broker never accepts holds up the others of its queue for seconds at most', async () => {
  await using on = rig()
  let made = 0
  on.next = ({ republish, skipQueues }) => {
    if (!republish || skipQueues.includes('default')) return {}
    const tickets = [ticket('poisoned'), ticket(`good ${(made += 1)}`)]
    return { tickets, republished: tickets }
  }
  await on.clock.advance(10 * 60_000)
  // Every five to ten seconds, and not once a minute. Only the accepted ticket gets a longer grace.
  expect(made).toBeGreaterThan(50)
  expect(on.published).toHaveLength(made)
  expect(on.confirmed).toEqual(on.published)
})

test('while the broker still has tickets of a queue, its rows are not even touched', async () => {
  await using on = rig({ delivers: 'tickets', depth: 'exact' }, 7)
  await on.clock.advance(30_000)
  expect(on.sweeps.every(({ options }) => options.skipQueues.includes('default'))).toBe(true)
  on.depth = 0
  await on.clock.advance(20_000)
  expect(on.sweeps.at(-1)?.options.skipQueues).toEqual([])
})

test('a broker that does not answer holds up no sweep, and its queue is left alone', async () => {
  await using on = rig()
  on.depth = new Promise(() => undefined)
  await on.clock.advance(60_000)
  expect(on.sweeps.length).toBeGreaterThan(40)
  // From its second reading on: the first was answered.
  expect(on.sweeps.slice(20).every(({ options }) => options.skipQueues.includes('default'))).toBe(true)
})

test('the log hears which queues this process serves: what another live worker serves is left to that one', async () => {
  await using on = rig()
  await on.clock.advance(2_000)
  expect(on.sweeps.length).toBeGreaterThan(0)
  expect(on.sweeps.every(({ options }) => options.queues.join() === 'default')).toBe(true)
})

test('queues whose jobs this worker takes from the log itself are not published again by it', async () => {
  await using on = rig()
  on.quiet = ['default']
  await on.clock.advance(2_000)
  expect(on.sweeps.at(-1)?.options.skipQueues).toEqual(['default'])
})

test('a driver that delivers claims has nothing to publish again', async () => {
  await using on = rig({ delivers: 'claims', depth: 'unknown' })
  await on.clock.advance(2_000)
  expect(on.sweeps.every(({ options }) => !options.republish)).toBe(true)
})

test('a pass that fills its limit repeats at once, but republishing is capped to a rate', async () => {
  await using on = rig({ delivers: 'tickets', depth: 'unknown' })
  let made = 0
  on.next = ({ republish }) => {
    if (!republish) return {}
    const tickets = Array.from({ length: 500 }, () => ticket(String((made += 1))))
    return { tickets, republished: tickets, full: true }
  }
  await on.clock.advance(9_999)
  expect(on.published.length).toBeGreaterThan(5_000)
  expect(on.published.length).toBeLessThanOrEqual(10_000)
  expect(on.sweeps.length).toBeLessThan(60)
})

test('where the log itself delivers, a pass that fills its limit repeats at once as well', async () => {
  await using on = rig({ delivers: 'claims', depth: 'unknown' })
  on.next = () => (on.sweeps.length < 40 ? { full: true } : {})
  await on.clock.advance(1)
  expect(on.sweeps).toHaveLength(40)
})

test('it sleeps until the next job is due, and no longer than its interval', async () => {
  await using on = rig()
  on.next = once({ nextDueInMs: 300 })
  await on.clock.advance(3_500)
  const times = on.sweeps.map(({ atMs }) => Math.round(atMs))
  expect(times.slice(0, 4)).toEqual([0, 300, 1_300, 2_300])
})

test('a job of this worker that is due earlier is not kept waiting', async () => {
  await using on = rig()
  await on.clock.advance(100)
  on.relay.dueIn(50)
  await on.clock.advance(100)
  expect(on.sweeps.map(({ atMs }) => Math.round(atMs))).toEqual([0, 150])
})

test('a sweep that fails is logged and tried again, later each time', async () => {
  await using on = rig()
  on.next = () => {
    throw new Error('the database is down')
  }
  await on.clock.advance(60_000)
  expect(on.sweeps.length).toBeGreaterThan(5)
  expect(on.sweeps.length).toBeLessThan(25)
  expect(on.lines.every((line) => line.message === 'the relay failed; it is tried again')).toBe(true)
  on.next = () => ({})
  await on.clock.advance(20_000)
  const gaps = on.sweeps.slice(-3).map(({ atMs }, index, all) => atMs - (all[index - 1]?.atMs ?? atMs))
  expect(Math.max(...gaps)).toBeLessThanOrEqual(1_001)
})

test('jobs that were lost for good are told', async () => {
  await using on = rig()
  const lost = {
    job: { id: 'a' },
    error: { codec: 'json', text: '{}' },
    cause: 'lost',
  } as unknown as LostForGood
  on.next = once({ failed: [lost] })
  await on.clock.advance(100)
  expect(on.failed).toEqual([lost])
})
