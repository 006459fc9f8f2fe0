import { ErrandError } from '../errors.ts'
import { inTime } from '../in-time.ts'
import { checkQueueName } from '../names.ts'
import type { QueueName } from '../job/ticket.ts'
import type { Driver, SubscribeOptions, Subscription } from '../ports/driver.ts'
import { systemClock } from '../ports/system-clock.ts'

/** How long handing tickets back may take when a driver closes. After that its connections end anyway. */
const handBackMs = 3_000

/** The parts of a driver that differ from broker to broker; `buildDriver` does the rest. */
export interface DriverParts extends Pick<
  Driver,
  'name' | 'capabilities' | 'publish' | 'refusal' | 'subscribeMany' | 'depth' | 'purge'
> {
  /** Called once for each subscription, as `subscribeMany` is. The subscription's `close` is called once, and `next` never after it. */
  subscribe(queue: QueueName, options: SubscribeOptions): Promise<Subscription>
  /** Ends the connections. The subscriptions have been closed, unless that takes longer than 3 s. */
  close?(): Promise<void>
}

/**
 * Builds a driver from its parts, and does what is the same for every broker. It checks queue names. After a close every
 * call throws `E_CLOSED`. All calls of `close` share one close, which closes the subscriptions first; a subscription that
 * opens during the close is closed too. `next` answers `[]` if the signal has aborted, for no demand, and after the close.
 */
export function buildDriver(parts: DriverParts): Driver {
  const subscriptions = new Set<Subscription>()
  let closing: Promise<void> | undefined

  function check(queue?: QueueName): void {
    if (closing) throw new ErrandError('E_CLOSED', `this driver (${parts.name}) has been closed`)
    if (queue !== undefined) checkQueueName(queue)
  }

  async function close(): Promise<void> {
    const closed = Promise.all([...subscriptions].map((subscription) => subscription.close()))
    await inTime(closed, handBackMs, systemClock, () => undefined)
    await parts.close?.()
    await closed
  }

  async function subscribe(opening: Promise<Subscription>): Promise<Subscription> {
    const opened = await opening
    const subscription = guard(opened, () => subscriptions.delete(subscription))
    if (closing) await subscription.close()
    check()
    subscriptions.add(subscription)
    return subscription
  }

  return {
    port: 1,
    name: parts.name,
    capabilities: parts.capabilities,
    async publish(tickets, call) {
      check()
      return parts.publish(tickets, call)
    },
    ...(parts.refusal
      ? {
          async refusal() {
            check()
            return parts.refusal?.()
          },
        }
      : {}),
    async subscribe(queue, options) {
      check(queue)
      return subscribe(parts.subscribe(queue, options))
    },
    ...(parts.subscribeMany
      ? {
          async subscribeMany(queues: readonly QueueName[], options: SubscribeOptions) {
            check()
            for (const queue of queues) checkQueueName(queue)
            return subscribe(parts.subscribeMany!(queues, options))
          },
        }
      : {}),
    async depth(queue) {
      check(queue)
      return parts.depth(queue)
    },
    async purge(queue) {
      check(queue)
      await parts.purge(queue)
    },
    close: () => (closing ??= close()),
  }
}

function guard(subscription: Subscription, closed: () => void): Subscription {
  let closing: Promise<void> | undefined
  return {
    next: async (max, signal) => (closing || signal.aborted || max < 1 ? [] : subscription.next(max, signal)),
    close: () => (closing ??= subscription.close().finally(closed)),
  }
}
