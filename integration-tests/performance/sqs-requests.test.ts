import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { createErrand, defineJob, handle } from '@errand/core'
import { memoryLog } from '@errand/core/testing'
import { sqs } from '@errand/driver-sqs'
import { quietLogger, until } from '@errand/testkit'
import { hasSqs, scene } from '../sqs/scene.ts'
import { ceilings } from './ceilings.ts'

const queues = 20
/** SQS answers a poll without messages after 20 s. */
const pollSeconds = 20

/** Requests as AWS bills them: every attempt of every operation, counted at the SDK's middleware. */
describe.skipIf(!hasSqs)('the requests to SQS', () => {
  it('of an idle worker with 20 queues stay below their ceiling', async (test) => {
    const { corner, faults } = await scene('sqlite', test)
    const client = corner.client()
    faults.install(client)
    await using errand = createErrand({
      log: memoryLog(),
      driver: sqs({ client, prefix: corner.prefix }),
      logger: quietLogger,
    })
    await errand.migrate()
    const handlers = Array.from({ length: queues }, (_, at) =>
      handle(defineJob({ name: `idle.${at}`, queue: `idle${at}` }), () => {}),
    )
    const worker = errand.work({ concurrency: 50, handlers }, { signals: false })
    await worker.ready
    // If a moment brings no request, the long polls have begun.
    let seen = -1
    await until(
      async () => {
        const before = seen
        seen = faults.totalRequests
        return seen === before && seen > 0
      },
      { what: 'all queues are listened to', pause: () => sleep(1_500) },
    )
    const before = faults.totalRequests
    await sleep(1_000 * pollSeconds)
    const perSecond = (faults.totalRequests - before) / pollSeconds
    expect(perSecond).toBeLessThanOrEqual(ceilings.idleRequests)
    // It does listen.
    expect(perSecond).toBeGreaterThan(0)
    await worker.stop()
    client.destroy()
  })
})
