import { buildDriver, IdlePolls, inTime, LaneSubscription, publishEach } from '@errand/core/driver-kit'
import { checkQueueName, ErrandError, lanes, systemClock } from '@errand/core/ports'
import type { Driver, DriverContext, Lane, QueueName } from '@errand/core/ports'
import { Api } from './api.ts'
import type { Patience } from './api.ts'
import { sqsErrors } from './errors.ts'
import { LaneQueue } from './lane-queue.ts'
import type { Settings } from './options.ts'

/**
 * Waits and deadlines use real time, not the clock that core is given: the broker's time goes on when a test stops the
 * log's clock.
 */
const clock = systemClock
/** How long a close waits for requests under way, after the subscriptions have closed. */
const longestCloseMs = 700

/** @param patience Tests wait longer on a busy machine. */
export function openDriver(settings: Settings, { log, logger }: DriverContext, patience?: Patience): Driver {
  const api = new Api(settings, patience)
  const queues = new Map<QueueName, readonly LaneQueue[]>()
  const polls = new IdlePolls()

  function openLanes(queue: QueueName): readonly LaneQueue[] {
    const known = queues.get(queue)
    if (known) return known
    checkQueueName(queue)
    const made = lanes.map((lane) => new LaneQueue({ api, settings, logger, clock, queue, lane }))
    queues.set(queue, made)
    return made
  }

  function findLane({ queue, lane }: { readonly queue: QueueName; readonly lane: Lane }): LaneQueue {
    const found = openLanes(queue).find((each) => each.lane === lane)
    if (!found) throw new ErrandError('E_DRIVER', `there is no lane ${JSON.stringify(lane)}`)
    return found
  }

  return buildDriver({
    name: 'sqs',
    capabilities: { delivers: 'tickets', depth: 'approximate', packs: true, wakes: true },
    publish: (tickets, call) =>
      publishEach(tickets, call, (message) => findLane(message).send(message, call?.signal)),
    async subscribe(queue) {
      const sources = openLanes(queue)
      await Promise.all(sources.map((each) => each.open()))
      const hiddenMs = settings.visibilitySeconds * 1_000
      return new LaneSubscription({
        driver: 'sqs',
        queue,
        sources,
        hiddenMs,
        errors: sqsErrors,
        idle: { polls, wakeups: (signal) => log.wakeups([`queue:${queue}`], signal) },
        logger,
        clock,
      })
    },
    async depth(queue) {
      const counts = await Promise.all(openLanes(queue).map((each) => each.depth()))
      return counts.reduce((sum, count) => sum + count, 0)
    },
    async purge(queue) {
      await Promise.all(openLanes(queue).map((each) => each.purge()))
    },
    async close() {
      const idle = Promise.all([...queues.values()].flat().map((queue) => queue.idle()))
      await inTime(idle, longestCloseMs, clock, () => undefined)
      // A publisher that still waits gets this error. The log has its jobs, and the relay publishes them again.
      api.close(new ErrandError('E_CLOSED', 'the driver was closed before SQS had answered'))
    },
  })
}
