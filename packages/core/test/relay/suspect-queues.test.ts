import { afterEach, beforeEach, expect, test } from 'vitest'
import { newJob } from '@errand/testkit'
import type { Publisher } from '../../src/dispatch/publisher.ts'
import type { Ticket } from '../../src/job/ticket.ts'
import type { Driver } from '../../src/ports/driver.ts'
import type { JobLog } from '../../src/ports/job-log.ts'
import { Relay } from '../../src/relay/relay.ts'
import { memoryLog } from '../../src/testing/memory-log.ts'
import { virtualClock } from '../../src/testing/virtual-clock.ts'
import type { VirtualClock } from '../../src/testing/virtual-clock.ts'
import { recordingLogger } from '../recording-logger.ts'

const queue = 'default'
const hour = 3_600_000

/** A broker that nobody fetches from: it keeps its tickets until it loses them. */
class Broker {
  tickets: Ticket[] = []
  readonly published: string[] = []
  reads = 0
  away = false
  refuses = false
}

let clock: VirtualClock
let log: JobLog
let broker: Broker
let stop: AbortController
let running: Promise<void>[]

beforeEach(() => {
  clock = virtualClock()
  log = memoryLog().open({ clock, logger: recordingLogger() })
  broker = new Broker()
  stop = new AbortController()
  running = []
})
afterEach(async () => {
  stop.abort()
  await Promise.all(running)
})

/** One more relay of the fleet, each with a connection of its own. */
async function relay(capabilities: Partial<Driver['capabilities']> = {}): Promise<Relay> {
  const depth = async (): Promise<number> => {
    broker.reads += 1
    if (broker.away) throw new Error('connection refused')
    return broker.tickets.length
  }
  const publisher: Publisher = {
    down: undefined,
    publish: async (tickets) => {
      if (broker.away || broker.refuses) return { accepted: [], refused: [] }
      broker.tickets.push(...tickets)
      broker.published.push(...tickets.map(({ id }) => id))
      return { accepted: tickets, refused: [] }
    },
    close: async () => undefined,
  }
  const driver = {
    capabilities: { delivers: 'tickets', depth: 'exact', ...capabilities },
    depth,
  } as unknown as Driver
  const begun = new Relay({
    log,
    driver,
    publisher,
    clock,
    logger: recordingLogger(),
    queues: [queue],
    quiet: () => [],
    everyMs: 1_000,
    publishGraceMs: 30_000,
    failed: async () => undefined,
  })
  running.push(begun.run(stop.signal))
  await clock.advance(1_000)
  return begun
}

/** Jobs that were published so often that their tickets have an hour to fetch them. */
async function patientJobs(count = 1): Promise<string[]> {
  const jobs = Array.from({ length: count }, () => newJob({ queue, publishGraceMs: hour }))
  await log.append(jobs)
  return jobs.map(({ id }) => id)
}

test('a broker that says twice, a minute apart, that it has no tickets has lost them', async () => {
  await relay()
  const [id] = await patientJobs()
  await clock.advance(50_000)
  expect(broker.published).toEqual([])
  await clock.advance(40_000)
  expect(broker.published).toEqual([id])
})

test('while the broker has tickets of the queue, its jobs keep their grace, and are not touched', async () => {
  await relay()
  broker.tickets.push({ id: 'another', queue, lane: 'normal', log: 'here' })
  await patientJobs()
  await clock.advance(hour - 60_000)
  expect(broker.published).toEqual([])
  // Untouched: the whole wait is still ahead of it.
  expect(await log.expedite([queue], { limit: 10 })).toMatchObject({ jobs: 1 })
})

test('a moment without tickets is no loss', async () => {
  const another = { id: 'another', queue, lane: 'normal', log: 'here' } as const
  broker.tickets = [another]
  await relay()
  await patientJobs()
  await clock.advance(30_000)
  broker.tickets = []
  await clock.advance(20_000)
  broker.tickets = [another]
  await clock.advance(10 * 60_000)
  expect(broker.published).toEqual([])
})

test('a broker that was away is back: jobs do not wait for a second look', async () => {
  await relay()
  broker.away = true
  const [id] = await patientJobs()
  await clock.advance(30_000)
  broker.away = false
  await clock.advance(20_000)
  expect(broker.published).toEqual([id])
})

test('a broker that takes tickets again, after it did not, may have lost those of before', async () => {
  await relay({ depth: 'unknown' })
  broker.refuses = true
  const [id] = await patientJobs()
  const overdue = newJob({ queue, publishGraceMs: 0 })
  await log.append([overdue])
  await clock.advance(20_000)
  expect(broker.published).toEqual([])
  broker.refuses = false
  await clock.advance(60_000)
  expect(new Set(broker.published)).toEqual(new Set([overdue.id, id]))
})

test('a subscription that is back is a broker that is back', async () => {
  const one = await relay({ depth: 'unknown' })
  const [id] = await patientJobs()
  await clock.advance(10_000)
  expect(broker.published).toEqual([])
  one.returned(queue)
  await clock.advance(2_000)
  expect(broker.published).toEqual([id])
})

test('a process that starts may be the first on another broker', async () => {
  const [id] = await patientJobs()
  await clock.advance(60_000)
  await relay()
  await clock.advance(2_000)
  expect(broker.published).toEqual([id])
})

test('a first ticket that is under way has its thirty seconds', async () => {
  await log.append([newJob({ queue, publishGraceMs: 30_000 })])
  const one = await relay()
  for (let second = 0; second < 25; second += 1) {
    one.returned(queue)
    await clock.advance(1_000)
  }
  expect(broker.published).toEqual([])
})

test('ten relays with one doubt publish each job once', async () => {
  for (let count = 0; count < 10; count += 1) await relay()
  const ids = await patientJobs(400)
  await clock.advance(10 * 60_000)
  expect(broker.published.toSorted()).toEqual(ids.toSorted())
})

test('where tickets are always lost, ten relays publish a job about as often as its first grace allows', async () => {
  for (let count = 0; count < 10; count += 1) await relay()
  const [id] = await patientJobs()
  for (let second = 0; second < 600; second += 1) {
    broker.tickets = []
    await clock.advance(1_000)
  }
  expect(new Set(broker.published)).toEqual(new Set([id]))
  expect(broker.published.length).toBeGreaterThan(8)
  // With its second grace, of a minute, a job is not left alone any more: two in thirty seconds, however many relays.
  expect(broker.published.length).toBeLessThanOrEqual(2 * (600 / 30))
})

test('where reading the depth costs money, a queue without tickets or overdue jobs is not read for ever', async () => {
  await relay({ depth: 'approximate' })
  await log.append([newJob({ queue, publishGraceMs: 0 })])
  await clock.advance(10_000)
  broker.tickets = []
  const claims = await log.list({ queue }, { limit: 1 })
  await log.cancel(
    claims.map(({ id }) => id),
    { by: 'ada' },
  )
  await clock.advance(3 * 60_000)
  const before = broker.reads
  await clock.advance(hour)
  expect(broker.reads).toBe(before)
})

test('a driver that delivers claims has no tickets to lose', async () => {
  await patientJobs()
  const one = await relay({ delivers: 'claims' })
  one.returned(queue)
  await clock.advance(5 * 60_000)
  expect(await log.expedite([queue], { limit: 10 })).toMatchObject({ jobs: 1 })
})
