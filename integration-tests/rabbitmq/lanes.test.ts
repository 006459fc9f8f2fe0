import { describe, expect, inject, test } from 'vitest'
import { createErrand } from '@errand/core'
import type { Errand } from '@errand/core'
import { quietLogger, readHistory, until } from '@errand/testkit'
import { gated, work } from '../fleet/app/jobs.ts'
import { openGate, readLedger } from '../fleet/app/ledger.ts'
import { pause } from '../fleet/looks.ts'
import { startWorker } from '../fleet/member.ts'
import { places, scene } from '../fleet/shared.ts'
import { brokerQueue, findLane } from './broker.ts'
import { startSlowProxy } from './slow-proxy.ts'

const url = inject('amqp')
const slots = 4
const batch = 500
/** What a message to the log or the broker takes, in milliseconds, each way. */
const networks = [
  { name: 'a quick network', log: 0, broker: 0 },
  { name: 'a broker far away', log: 0, broker: 150 },
  { name: 'a log far away', log: 150, broker: 0 },
]

describe.skipIf(url === undefined).each(networks)('lanes of a queue on RabbitMQ, $name', (network) => {
  test('ten critical jobs behind a backlog of 20,000 low ones start before any low one that had no slot yet', async () => {
    const on = await scene('rabbitmq')
    for (let from = 0; from < 20_000; from += batch) {
      await on.errand.dispatchMany(
        Array.from({ length: batch }, (_, n) => gated.with({ n: from + n }, { lane: 'low' })),
      )
    }
    await startWorker({
      ...on.env,
      ERRAND_LOG: await delayed(on.url, network.log),
      ERRAND_DRIVER: await delayed(on.env['ERRAND_DRIVER']!, network.broker),
      CONCURRENCY: String(slots),
    })
    await until(() => readLedger(on.ledger).length === slots, {
      what: 'low jobs have all the slots',
      withinMs: 30_000,
    })
    const after = await on.log.end()
    const critical = await dispatchCritical(on.errand, 10)
    // A dispatch waits at most a second for the broker.
    const driver = on.env['ERRAND_DRIVER'] ?? ''
    const lane = brokerQueue(new URL(driver).searchParams.get('prefix') ?? '', 'work', 'critical')
    await until(async () => (await findLane(driver.replace(/\?.*/, ''), lane))?.waiting !== 0, {
      what: 'their tickets are on the broker',
      withinMs: 30_000,
      pause,
    })
    openGate(on.ledger)
    // Readers see events a little later if other transactions are open in the database.
    const isCritical = await until(
      async () => {
        const started = (await readHistory(on.log, { after })).filter(({ type }) => type === 'started')
        const are = started.map(({ jobId }) => critical.has(jobId))
        return are.filter(Boolean).length === critical.size && are
      },
      { what: 'all critical jobs have started', withinMs: 60_000, pause },
    )
    expect(isCritical[0]).toBe(true)
    const before = isCritical.slice(0, isCritical.lastIndexOf(true))
    // One grant in ten goes to the lowest lane: of fourteen grants, with the four before, at most two.
    expect(before.filter((each) => !each).length).toBeLessThanOrEqual(2)
  })
})

describe.each(['rabbitmq', 'sqs'])('shares of lanes on %s', (place) => {
  test.runIf(places.some(({ name }) => name === place))(
    'while there are critical jobs, one grant in ten goes to a low one',
    async () => {
      const on = await scene(place)
      const { ERRAND_LOG: log, ERRAND_DRIVER: driver } = on.env
      const application = createErrand({ log, driver, logger: quietLogger })
      await application.dispatchMany(
        Array.from({ length: batch }, (_, n) => work.with({ n, failures: 0, ms: 5 }, { lane: 'low' })),
      )
      const critical = new Set<string>()
      for (let round = 0; round < 4; round += 1)
        for (const id of await dispatchCritical(application, batch)) critical.add(id)
      // A dispatch waits at most a second for the broker, and a close for all of them: there are always hundreds of tickets.
      await application.close()
      await startWorker({ ...on.env, CONCURRENCY: String(slots) })

      const started = await until(
        async () => {
          const all = (await readHistory(on.log)).filter(({ type }) => type === 'started')
          return all.length >= 3 * batch && all.slice(0, 3 * batch)
        },
        { what: 'readers see the events', withinMs: 60_000, pause },
      )
      for (let from = 0; from < started.length; from += batch) {
        const low = started.slice(from, from + batch).filter(({ jobId }) => !critical.has(jobId)).length
        expect(low / batch).toBeGreaterThan(0.08)
        expect(low / batch).toBeLessThan(0.13)
      }
    },
  )
})

async function delayed(place: string, ms: number): Promise<string> {
  return ms === 0 ? place : (await startSlowProxy(place, ms)).url(place)
}

async function dispatchCritical(errand: Errand, count: number): Promise<ReadonlySet<string>> {
  const receipts = await errand.dispatchMany(
    Array.from({ length: count }, (_, n) => work.with({ n, failures: 0, ms: 5 }, { lane: 'critical' })),
  )
  return new Set(receipts.map(({ id }) => id))
}
