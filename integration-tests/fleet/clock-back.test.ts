import { Client } from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { createErrand, defineJob, handle } from '@errand/core'
import { quietLogger, until } from '@errand/testkit'
import { settableClock } from '../services/faketime.ts'
import { startPrivatePostgres } from '../services/private-postgres.ts'

const completes = defineJob({ name: 'clock.completes' })
const plain = defineJob({ name: 'clock.plain' })

test('the database clock goes back by days after a completion: all ends are recorded, the worker stops', async (context) => {
  const clock = settableClock()
  if (!clock) {
    // CI has Debian's packages: there it must not go unseen.
    expect(process.env['CI'], 'libfaketime is missing, and cannot be had').toBeUndefined()
    context.skip('libfaketime is missing, and cannot be had')
    return
  }
  onTestFinished(() => clock.remove())
  const server = await startPrivatePostgres(undefined, clock.env)
  if (!server) {
    context.skip('no binaries of PostgreSQL for this machine')
    return
  }
  onTestFinished(() => server.stop())
  const own = new Client({ connectionString: server.url })
  own.on('error', () => {})
  await own.connect()
  const hours = async (): Promise<number> => {
    const { rows } = await own.query<{ ms: string }>(
      'select extract(epoch from clock_timestamp()) * 1000 as ms',
    )
    return Math.round((Number(rows[0]?.ms) - Date.now()) / 3_600_000)
  }
  expect(Math.abs(await hours())).toBe(0)

  const errand = createErrand({ log: `${server.url}?migrate=true`, logger: quietLogger })
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
  onTestFinished(async () => {
    await errand.close()
    await own.end()
  })
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
