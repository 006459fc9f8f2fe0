import { randomUUID } from 'node:crypto'
import { Client } from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import type { TestContext } from 'vitest'
import { createErrand, defineJob, handle } from '@errand/core'
import { systemClock } from '@errand/core/ports'
import { postgres } from '@errand/log-postgres'
import { newJob, outcomes, quietLogger, settlement, until, workerRef } from '@errand/testkit'
import { settableClock } from '../services/faketime.ts'
import type { SettableClock } from '../services/faketime.ts'
import { startPrivatePostgres } from '../services/private-postgres.ts'

const completes = defineJob({ name: 'clock.completes' })
const plain = defineJob({ name: 'clock.plain' })

interface Server {
  readonly url: string
  readonly clock: SettableClock
  /** A connection of the test's own. */
  readonly own: Client
  /** How far its clock is from the real time. */
  readonly hours: () => Promise<number>
}

/** A server whose clock a test may set. If there is none, the test is skipped. */
async function serverWithClock(context: TestContext): Promise<Server> {
  const clock = settableClock()
  if (!clock) {
    // CI has Debian's packages, so the test must not be skipped there.
    expect(process.env['CI'], 'libfaketime is missing, and cannot be had').toBeUndefined()
    return context.skip('libfaketime is missing, and cannot be had')
  }
  onTestFinished(() => clock.remove())
  const server = await startPrivatePostgres(undefined, clock.env)
  if (!server) return context.skip('no binaries of PostgreSQL for this machine')
  onTestFinished(() => server.stop())
  const own = new Client({ connectionString: server.url })
  own.on('error', () => {})
  await own.connect()
  onTestFinished(() => own.end())
  const hours = async (): Promise<number> => {
    const { rows } = await own.query<{ ms: string }>(
      'select extract(epoch from clock_timestamp()) * 1000 as ms',
    )
    return Math.round((Number(rows[0]?.ms) - Date.now()) / 3_600_000)
  }
  expect(Math.abs(await hours())).toBe(0)
  return { url: server.url, clock, own, hours }
}

test('the database clock goes back by days after a completion: all ends are recorded, the worker stops', async (context) => {
  const { url, clock, own, hours } = await serverWithClock(context)
  const errand = createErrand({ log: `${url}?migrate=true`, logger: quietLogger })
  const back = Promise.withResolvers<void>()
  const worker = errand.work(
    {
      concurrency: 10,
      handlers: [
        handle(completes, async (_, ctx) => {
          await own.query('begin')
          await ctx.complete({ tx: own })
          await own.query('commit')
          clock.set(-50)
          back.resolve()
        }),
        handle(plain, () => back.promise),
      ],
    },
    { signals: false },
  )
  onTestFinished(() => errand.close())
  const neighbours = await Promise.all(Array.from({ length: 8 }, () => errand.dispatch(plain)))
  const first = await errand.dispatch(completes)
  const jobs = [first, ...neighbours]
  for (const { id } of jobs)
    await until(async () => (await errand.jobs.get(id))?.state === 'succeeded', { what: `${id} succeeded` })
  expect(await hours()).toBe(-50)
  await worker.stop()
  for (const { id } of jobs) {
    const types = (await errand.events.of(id)).map(({ type }) => type)
    expect(types).toEqual(['dispatched', 'started', 'succeeded'])
  }
})

test('what ended while the database clock was back by days is pruned, although the clock is right again', async (context) => {
  const { url, clock, hours } = await serverWithClock(context)
  const log = postgres({ url, migrate: true }).open({ clock: systemClock, logger: quietLogger })
  onTestFinished(() => log.close())
  const by = workerRef({ leaseMs: 600_000 })
  const finish = async (count: number): Promise<void> => {
    // Relays of workers sweep every second too.
    await log.sweep({ limit: 10, republish: false, queues: ['q'], skipQueues: [] })
    await log.beat(by, { queues: ['q'], taking: true, progress: [] })
    await log.append(Array.from({ length: count }, () => newJob({ queue: 'q' })))
    const claims = await log.take(['q'], count, by, randomUUID())
    const answers = await log.settle(
      claims.map((claim) => settlement(claim, outcomes.succeed())),
      by,
    )
    expect(answers).toHaveLength(count)
  }
  const prune = async (): Promise<number> =>
    (await log.prune({ succeededMs: 0, failedMs: 0, limit: 100 })).jobs
  await finish(3)
  expect(await prune()).toBe(3)
  clock.set(-50)
  expect(await hours()).toBe(-50)
  await finish(4)
  clock.set(0)
  await finish(2)
  expect(await prune()).toBe(6)
})
