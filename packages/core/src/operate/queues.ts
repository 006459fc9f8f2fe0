import { ErrandError } from '../errors.ts'
import { checkQueueName } from '../names.ts'
import type { JobLog, Topic } from '../ports/job-log.ts'
import { checkInteger, checkOptions } from '../options.ts'
import type { QueueLimit, WaitingState } from '../ports/operations.ts'
import type { OperateDeps } from './connection.ts'
import { noteFrom } from './filter.ts'
import { waitingStates } from './jobs.ts'
import type { By, Jobs } from './jobs.ts'

export interface QueueInfo {
  readonly name: string
  readonly paused: boolean
  /** Who paused it. */
  readonly pausedBy: string | undefined
  /** How many of its jobs may run at a time, over all workers, and who set it. Undefined: any number. */
  readonly limit: QueueLimit | undefined
  /** Jobs in each live state. */
  readonly ready: number
  readonly scheduled: number
  readonly blocked: number
  readonly suspended: number
  readonly running: number
  /**
   * Which of these numbers are estimates, within some 20 %: counting a long queue would read all of it. With few queues a
   * number up to 10,000 is exact, with hundreds one up to 100.
   */
  readonly estimated: readonly WaitingState[]
}

export interface Queues {
  /** Every queue that has a live job, is paused or limited, or is served by a worker. */
  list(): Promise<readonly QueueInfo[]>
  /** One of them, or undefined. */
  get(queue: string): Promise<QueueInfo | undefined>
  /** Stops all workers from starting jobs of this queue (`by`: who does it, or also why). Running jobs and dispatching go on. */
  pause(queue: string, by: string | By): Promise<void>
  resume(queue: string, by: string | By): Promise<void>
  /**
   * Lets at most `concurrency` jobs of this queue run at a time, over all workers (1 to 10,000). It holds at once, also for jobs that
   * wait already. A lower one stops nobody who runs. Undefined takes the limit away.
   * @throws `E_OPTION` for another number, or an unknown option
   * @example await errand.queues.limit('media', { concurrency: 20 }, { by: 'ann', reason: 'the disk is slow' })
   */
  limit(queue: string, limit: { readonly concurrency: number } | undefined, by: string | By): Promise<void>
  /** Cancels every waiting job of the queue, then removes its tickets. Resolves with how many were cancelled. */
  purge(queue: string, by: string | By): Promise<number>
}

const mostPasses = 5
const mostConcurrency = 10_000

function checkLimit(limit: { readonly concurrency: number } | undefined): number | undefined {
  if (limit === undefined) return undefined
  checkOptions('queues.limit()', limit, ['concurrency'])
  if (limit.concurrency === 0)
    throw new ErrandError(
      'E_OPTION',
      'queues.limit() concurrency is 0; to start no job, pause the queue; to take the limit away, pass undefined in place of the object',
    )
  return checkInteger('queues.limit() concurrency', limit.concurrency, 1, mostConcurrency)
}

/** A worker learns from its heartbeat which queues are paused: workers that serve this queue must beat now. */
async function tellWorkers(log: JobLog, queue: string): Promise<void> {
  const serving = (await log.workers()).filter((worker) => worker.queues.includes(queue))
  await log.notify([`queue:${queue}`, ...serving.map((worker): Topic => `worker:${worker.id}`)])
}

export function createQueues(deps: OperateDeps, jobs: Jobs): Queues {
  return {
    async list() {
      const log = await deps.connectedLog()
      return log.queues()
    },
    async pause(queue, by) {
      const note = noteFrom('pause()', by)
      const log = await deps.connectedLog()
      await log.pause(checkQueueName(queue), note)
      await tellWorkers(log, queue)
    },
    async resume(queue, by) {
      const note = noteFrom('resume()', by)
      const log = await deps.connectedLog()
      await log.resume(checkQueueName(queue), note)
      await tellWorkers(log, queue)
    },
    async get(queue) {
      const log = await deps.connectedLog()
      return (await log.queues()).find(({ name }) => name === checkQueueName(queue))
    },
    async limit(queue, limit, by) {
      const note = noteFrom('limit()', by)
      const concurrency = checkLimit(limit)
      const log = await deps.connectedLog()
      await log.limitQueue(checkQueueName(queue), concurrency, note)
      await log.notify([`queue:${queue}`])
    },
    async purge(queue, by) {
      const note = { reason: 'the queue was purged', ...noteFrom('purge()', by) }
      checkQueueName(queue)
      let count = 0
      // Cancel jobs behind a key first. Otherwise each cancelled holder would make the next one ready, just to be cancelled too.
      // Another pass finds jobs that have changed their state. If a queue fills faster than this, the loop ends.
      for (let pass = 1, found = 1; found > 0 && pass <= mostPasses; pass += 1) {
        found = 0
        for (const state of waitingStates) found += await jobs.cancel({ queue, state }, note)
        count += found
      }
      const { driver } = await deps.connected()
      await driver.purge(queue)
      return count
    },
  }
}
