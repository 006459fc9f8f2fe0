import { jobDefaults } from '../config/defaults.ts'
import type { QueueName } from '../job/ticket.ts'
import type { Driver } from '../ports/driver.ts'
import type { JobLog } from '../ports/job-log.ts'
import type { Backlog, WorkerRecord } from '../ports/operations.ts'

/** No queue is counted beyond this number, so that counting a long queue takes no longer. */
export const mostReady = 50_000

/** What the broker says of one queue. */
type Depth =
  | { readonly messages: number; readonly trouble?: never }
  /** It does not answer. */
  | { readonly messages?: never; readonly trouble: string }

/** Log and broker at one moment, as far as two servers have one. */
export interface Survey {
  /** Ready jobs are counted up to `mostReady`. */
  readonly queues: readonly Backlog[]
  readonly workers: readonly WorkerRecord[]
  /** Of the queues whose messages can be counted, the paused ones left out: their tickets are dropped, and come again. */
  readonly depths: ReadonlyMap<QueueName, Depth>
}

export async function survey(log: JobLog, driver: Driver): Promise<Survey> {
  const backlogs = log.backlogs ? log.backlogs(mostReady) : log.queues()
  const [queues, workers] = await Promise.all([backlogs, log.workers()])
  const depths = new Map<QueueName, Depth>()
  if (driver.capabilities.delivers === 'tickets') {
    // With no queue in the log, a broker that cannot be reached would look well: any queue shows whether it answers.
    const asked = queues.length === 0 ? [{ name: jobDefaults.queue, paused: false }] : queues
    await Promise.all(
      asked.map(async ({ name, paused }) => {
        const depth = await readDepth(driver, name)
        if (depth !== undefined && (!paused || depth.trouble !== undefined)) depths.set(name, depth)
      }),
    )
  }
  return { queues, workers, depths }
}

async function readDepth(driver: Driver, queue: QueueName): Promise<Depth | undefined> {
  try {
    const messages = await driver.depth(queue)
    return messages === undefined ? undefined : { messages }
  } catch (error) {
    return { trouble: error instanceof Error ? error.message : String(error) }
  }
}
