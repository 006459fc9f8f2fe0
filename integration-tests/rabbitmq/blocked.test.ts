// A broker that takes nothing from publishers for any time, because it is short of memory or disk.
import { describe, expect, onTestFinished, test } from 'vitest'
import { createErrand } from '@errand/core'
import type { Errand } from '@errand/core'
import { quietLogger, scaleLimit, until } from '@errand/testkit'
import { fleetHandlers } from '../fleet/app/handlers.ts'
import { work } from '../fleet/app/jobs.ts'
import { allEnded, lasts, pause } from '../fleet/looks.ts'
import { startWorker } from '../fleet/member.ts'
import { startsByTicket } from '../fleet/recovery.ts'
import { scene } from '../fleet/shared.ts'
import { whileAlarmed } from './alarm.ts'
import { driverUrl, newPrefix } from './broker.ts'
import { canHaveNode, nodeOfItsOwn } from './node.ts'

const refuses = expect.objectContaining({
  severity: 'error',
  code: 'broker-refuses',
  message: expect.stringMatching(/takes no tickets: low on memory.*Give it memory/) as string,
})
/** More than two heartbeats, because a broker that does not read is alive. Workers take overdue jobs from the log in this time. */
const blockedMs = 6_000

describe.skipIf(!canHaveNode)('a RabbitMQ that takes no tickets', () => {
  test('dispatch and workers go on, doctor and health say why, and tickets flow again after the alarm', async () => {
    const node = await nodeOfItsOwn()
    onTestFinished(() => node.stop())
    const driver = `${driverUrl(node.url, newPrefix())}&heartbeat=1`
    const on = await scene('rabbitmq', { driver, publishGraceMs: 2_000 })
    const { errand, env, log } = on
    const worker = await startWorker(env)
    // A worker in this process, whose tickets are refused.
    const here = errand.work({ handlers: fleetHandlers(on.ledger) }, { signals: false, queues: ['work'] })
    await here.ready
    await dispatch(errand, 20)
    await allEnded(log, 60_000)
    expect(here.health().broker).toBeUndefined()
    // An instance that has published nothing yet.
    const stranger = createErrand({ log: on.url, driver, logger: quietLogger })
    onTestFinished(() => stranger.close())

    await whileAlarmed(node, async (blocked) => {
      // An instance that only asks gets the reason too.
      for (const asking of [errand, stranger])
        expect((await asking.doctor()).findings).toContainEqual(refuses)
      await blocked()
      const late = await startWorker(env)
      late.signal('SIGTERM')
      expect(await late.exited, late.output()).toBe(0)
      await lasts(blockedMs)
      const sinceMs = performance.now()
      await dispatch(errand, 20)
      expect(performance.now() - sinceMs).toBeLessThan(scaleLimit(5_000))
      expect(here.health()).toMatchObject({
        taking: true,
        broker: expect.stringContaining('takes no tickets: low on memory') as string,
      })
      await allEnded(log, 60_000)
      expect((await errand.doctor()).findings).toContainEqual(refuses)
    })

    await until(() => startsByTicket(on), { what: 'a job is started from its ticket', pause })
    await until(async () => (await stranger.doctor()).findings.length === 0, {
      what: 'doctor has nothing to say',
      pause,
    })
    expect(here.health().broker).toBeUndefined()
    await dispatch(errand, 20)
    await allEnded(log, 60_000)
    worker.signal('SIGTERM')
    expect(await worker.exited, worker.output()).toBe(0)
    expect(await on.violations()).toBe('')
  })
})

async function dispatch(errand: Errand, count: number): Promise<void> {
  for (let n = 0; n < count; n += 1) await errand.dispatch(work, { n, failures: 0, ms: 0 })
}
