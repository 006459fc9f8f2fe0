import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineJob, handle } from '../../src/index.ts'
import type { JobLog } from '../../src/ports/job-log.ts'
import { virtualClock } from '../../src/testing/virtual-clock.ts'
import { memoryDriver } from '../../src/testing/memory-driver.ts'
import { faultyDriver, losingDriver } from './faults.ts'
import { eventually, hold, stage } from './stage.ts'

const chore = defineJob({ name: 'chore', payload: z.object({ what: z.string() }) })
const long = defineJob({ name: 'long', timeout: '1h' })

test('slots that were taken for long go to critical jobs, not to a backlog that counts as overdue', async () => {
  const clock = virtualClock()
  await using on = stage({ clock, driver: memoryDriver() })
  const seen: string[] = []
  const held = hold()
  await on.work({
    concurrency: 4,
    handlers: [
      handle(long, () => held.promise),
      handle(chore, async ({ what }) => {
        seen.push(what)
        await new Promise<void>((resolve) => clock.after(1_000, resolve))
      }),
    ],
  })
  const blockers = await on.errand.dispatchMany(Array.from({ length: 4 }, () => long.with(undefined)))
  for (const { id } of blockers) await on.until(id, 'started')
  await on.errand.dispatchMany(Array.from({ length: 20 }, () => chore.with({ what: 'low' }, { lane: 'low' })))
  // The worker has brought nothing for long, and the backlog is overdue; but nothing says that its tickets are lost.
  await clock.advance(60_000)
  const critical = await on.errand.dispatchMany(
    Array.from({ length: 4 }, () => chore.with({ what: 'critical' }, { lane: 'critical' })),
  )
  held.resolve()
  for (const { id } of blockers) await on.until(id, 'succeeded')
  await clock.advance(500)
  for (const { id } of critical.slice(0, 3)) await on.until(id, 'started')
  // One slot's worth every ten seconds is for overdue jobs, whatever else there is.
  expect(seen.toSorted()).toEqual(['critical', 'critical', 'critical', 'low'])
})

test('a job that the log grants beyond what was asked for goes back at once, and runs when there is a slot', async () => {
  const clock = virtualClock()
  let more = 1
  const wrap = (log: JobLog): JobLog => ({
    ...log,
    take: (queues, max, ...rest) => log.take(queues, max + more, ...rest),
  })
  await using on = stage({ clock, wrap, driver: losingDriver() })
  const held = hold()
  await on.work({ concurrency: 1, handlers: [handle(long, () => held.promise)] })
  const jobs = await on.errand.dispatchMany([long.with(undefined), long.with(undefined)])
  await clock.advance(60_000)
  await eventually(async () =>
    expect((await Promise.all(jobs.map(({ id }) => on.releases(id)))).flat()).toContain('no-slot'),
  )
  more = 0
  held.resolve()
  for (let minute = 0; minute < 5; minute += 1) await clock.advance(60_000)
  for (const { id } of jobs) await on.until(id, 'succeeded')
})

test.each([
  ['is not there yet', (opened: Promise<void>) => opened],
  ['fails', () => Promise.reject(new Error('the broker is away'))],
])(
  'a worker whose subscription %s publishes no overdue job again, and runs them from the log',
  async (_, opening) => {
    const clock = virtualClock()
    const [opened, published] = [hold(), [] as string[]]
    const driver = faultyDriver((real) => ({
      async publish(tickets) {
        published.push(...tickets.map(({ id }) => id))
        return { accepted: tickets, refused: [] }
      },
      async subscribe(...parameters) {
        await opening(opened.promise)
        return real.subscribe(...parameters)
      },
    }))
    await using on = stage({ clock, driver })
    const jobs = await on.errand.dispatchMany([chore.with({ what: 'one' }), chore.with({ what: 'two' })])
    const ids = jobs.map(({ id }) => id)
    await eventually(() => expect(published.toSorted()).toEqual(ids.toSorted()))
    await clock.advance(31_000)

    const seen: string[] = []
    const handler = handle(chore, ({ what }) => void seen.push(what))
    const worker = on.errand.work({ concurrency: 2, handlers: [handler] }, { signals: false })
    await eventually(async () => {
      await clock.advance(1_000)
      expect(seen.toSorted()).toEqual(['one', 'two'])
    })
    expect(published.toSorted(), 'each ticket was published once').toEqual(ids.toSorted())
    opened.resolve()
    for (const id of ids) await on.until(id, 'succeeded')
    await worker.stop()
  },
)
