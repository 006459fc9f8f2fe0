import { inTime, publishEach } from '@errand/core/driver-kit'
import { checkQueueName, ErrandError, lanes, systemClock } from '@errand/core/ports'
import type { Driver, Logger, QueueName, Ticket } from '@errand/core/ports'
import { Api } from './api.ts'
import { LaneQueue } from './lane-queue.ts'
import type { Settings } from './options.ts'
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
    const idle = Promise.all([...queues.values()].flat().map((queue) => queue.idle()))
    await inTime(idle, longestCloseMs, clock, () => undefined)
    // Whoever published learns that nothing is known: the log has the jobs, and the relay publishes them again.
    api.close(new ErrandError('E_CLOSED', 'the driver was closed before SQS had answered'))
  }

  return {
    port: 1,
    name: 'sqs',
    capabilities: { delivers: 'tickets', depth: 'approximate' },
    async publish(tickets, { signal } = {}) {
      return publishEach(tickets, signal, (ticket) => laneOf(ticket).send(ticket, signal))
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
