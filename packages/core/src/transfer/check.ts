import { hostname } from 'node:os'
import { workerDefaults } from '../config/defaults.ts'
import { crypto } from '../crypto.ts'
import { ErrandError } from '../errors.ts'
import { inTime } from '../in-time.ts'
import type { WorkerRef } from '../job/claim.ts'
import type { QueueName } from '../job/ticket.ts'
import type { DriverContext, DriverFactory } from '../ports/driver.ts'

/** How long a driver may take to answer for one queue. */
const answerMs = 15_000

/**
 * Subscribes to each queue at the driver and closes again. So a wrong address, a missing right or a queue that exists
 * with other arguments shows before anything depends on it. It takes no ticket.
 * @throws what the driver throws, and `E_DRIVER` if it does not answer
 */
export async function checkDriver(
  factory: DriverFactory,
  queues: readonly QueueName[],
  context: DriverContext,
): Promise<void> {
  const { leaseMs, graceMs } = workerDefaults
  const worker: WorkerRef = {
    id: crypto().randomUUID(),
    host: hostname(),
    pid: process.pid,
    leaseMs,
    graceMs,
  }
  const driver = factory.open(context)
  const answered = (work: Promise<void>): Promise<void> =>
    inTime(work, answerMs, context.clock, () => {
      throw new ErrandError('E_DRIVER', `${factory.name} did not answer within ${answerMs / 1_000} s`)
    })
  try {
    for (const queue of queues) {
      const probe = async (): Promise<void> => {
        const subscription = await driver.subscribe(queue, { worker })
        await subscription.close()
        await driver.depth(queue)
      }
      await answered(probe())
    }
  } finally {
    await answered(driver.close()).catch(() => undefined)
  }
}
