import { describe, expect, inject, test } from 'vitest'
import { readHistory, scaleLimit, until } from '@errand/testkit'
import { work } from '../fleet/app/jobs.ts'
import { readLedger } from '../fleet/app/ledger.ts'
import { allEnded, pause } from '../fleet/looks.ts'
import { startWorker } from '../fleet/member.ts'
import { scene } from '../fleet/shared.ts'

const url = inject('amqp')
const graceMs = 1_000

describe.skipIf(url === undefined)('two workers on RabbitMQ', () => {
  test('SIGTERM amid 1,000 jobs: it drains, exits 0, and released jobs start elsewhere within a second', async () => {
    const on = await scene('rabbitmq')
    const env = { ...on.env, GRACE_MS: String(graceMs), CONCURRENCY: '30' }
    const [leaving, staying] = await Promise.all([startWorker(env), startWorker(env)])
    // One in fifty outlasts the grace; in a higher lane, so that it is not last in line again when it is given back.
    const receipts = await on.errand.dispatchMany(
      Array.from({ length: 1_000 }, (_, n) =>
        n % 50 === 0
          ? work.with({ n, failures: 0, ms: 6_000 }, { lane: 'high' })
          : work.with({ n, failures: 0, ms: n % 10 === 0 ? 300 : n % 20 }),
      ),
    )
    const ended = (): number => readLedger(on.ledger).filter(({ mark }) => mark === 'ended').length
    await until(() => ended() >= 300, { what: 'work is under way', withinMs: 60_000, pause })
    leaving.signal('SIGTERM')
    expect(await leaving.exited, leaving.output()).toBe(0)

    await allEnded(on.log, 90_000)
    expect(await on.violations()).toBe('')
    const events = await readHistory(on.log)
    const released = events.filter(({ type }) => type === 'released')
    expect(released.length).toBeGreaterThan(0)
    for (const { jobId, version, at, worker } of released) {
      expect(worker).toBe(leaving.id)
      const again = events.find((event) => event.jobId === jobId && event.version === version + 1)
      expect(again).toMatchObject({ type: 'started', worker: staying.id })
      expect((again?.at ?? Infinity) - at).toBeLessThan(scaleLimit(1_000))
    }
    expect(events.filter(({ type }) => type === 'succeeded')).toHaveLength(receipts.length)
  })
})
