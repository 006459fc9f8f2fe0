import { checkQueueName, ErrandError, lanes, systemClock } from '@errand/core/ports'
import type { Driver, Logger, QueueName, Ticket } from '@errand/core/ports'
import { Api } from './api.ts'
import { LaneQueue } from './lane-queue.ts'
import type { Settings } from './options.ts'
import { Report } from './report.ts'
import { SqsSubscription } from './subscription.ts'

/**
 * Waits and deadlines are in real time and not by the clock that core is given: the broker's time goes on when a test
 * holds the log's.
 */
const clock = systemClock
/** How long a close waits for what is under way, once the subscriptions are closed. */
const longestCloseMs = 700

export function openDriver(settings: Settings, logger: Logger): Driver {
  const api = new Api(settings)
  const queues = new Map<QueueName, readonly LaneQueue[]>()
  const subscriptions = new Set<SqsSubscription>()
  let closing: Promise<void> | undefined

  function lanesOf(queue: QueueName): readonly LaneQueue[] {
    if (closing) throw new ErrandError('E_CLOSED', 'this driver has been closed')
    const known = queues.get(queue)
    if (known) return known
    checkQueueName(queue)
    const made = lanes.map((lane) => new LaneQueue({ api, settings, logger, clock, queue, lane }))
    queues.set(queue, made)
    return made
  }

  function laneOf({ queue, lane }: Ticket): LaneQueue {
    const found = lanesOf(queue).find((each) => each.lane === lane)
    if (!found) throw new ErrandError('E_DRIVER', `there is no lane ${JSON.stringify(lane)}`)
    return found
  }

  async function close(): Promise<void> {
    await Promise.all([...subscriptions].map((subscription) => subscription.close()))
    const timer = new AbortController()
    const idle = Promise.all([...queues.values()].flat().map((queue) => queue.idle()))
    await Promise.race([idle, clock.sleep(longestCloseMs, timer.signal)])
    timer.abort()
    // Whoever published learns that nothing is known: the log has the jobs, and the relay publishes them again.
    api.close(new ErrandError('E_CLOSED', 'the driver was closed before SQS had answered'))
  }

  return {
    port: 1,
    name: 'sqs',
    capabilities: { delivers: 'tickets', depth: 'approximate' },
    async publish(tickets, { signal } = {}) {
      const sending = tickets.map((ticket) => ({ ticket, queue: laneOf(ticket) }))
      const report = new Report()
      const sent = sending.map(async ({ ticket, queue }) => {
        try {
          report.answered(ticket, await queue.send(ticket, signal))
        } catch (error) {
          // What an aborted publish sends no more is unknown, and no failure.
          if (!signal?.aborted) report.failed(error)
        }
      })
      await untilAborted(Promise.all(sent), signal)
      if (signal?.aborted)
        for (const queue of new Set(sending.map((each) => each.queue))) queue.withdraw(signal)
      return report.read()
    },
    async subscribe(queue) {
      const all = lanesOf(queue)
      await Promise.all(all.map((each) => each.open()))
      if (closing) throw new ErrandError('E_CLOSED', 'this driver has been closed')
      const subscription: SqsSubscription = new SqsSubscription({
        queue,
        lanes: all,
        visibilitySeconds: settings.visibilitySeconds,
        logger,
        clock,
        onClosed: () => subscriptions.delete(subscription),
      })
      subscriptions.add(subscription)
      return subscription
    },
    async depth(queue) {
      const counts = await Promise.all(lanesOf(queue).map((each) => each.depth()))
      return counts.reduce((sum, count) => sum + count, 0)
    },
    async purge(queue) {
      await Promise.all(lanesOf(queue).map((each) => each.purge()))
    },
    close() {
      closing ??= close()
      return closing
    },
  }
}

/** What is under way goes on: its requests are shared with other publishes. */
async function untilAborted(work: Promise<unknown>, signal: AbortSignal | undefined): Promise<void> {
  if (!signal) return void (await work)
  let stop = (): void => {}
  const aborted = new Promise<void>((resolve) => {
    stop = resolve
    signal.addEventListener('abort', stop)
    if (signal.aborted) resolve()
  })
  await Promise.race([work, aborted])
  signal.removeEventListener('abort', stop)
}
