import { expect, it } from 'vitest'
import { newTicket } from '@errand/testkit'
import { encodeTicket, LaneSubscription } from '../../src/driver-kit.ts'
import type { LaneSource, SourceMessage } from '../../src/driver-kit.ts'
import type { Lane } from '../../src/ports.ts'
import { silentLogger } from '../../src/testing/fake-context.ts'
import { virtualClock } from '../../src/testing/virtual-clock.ts'

/** A lane whose receives are answered so late, with one ticket if there is one. */
function slowLane(clock: ReturnType<typeof virtualClock>, lane: Lane, delayMs: number, count: number) {
  const released: string[] = []
  let left = count
  const source: LaneSource<string> = {
    name: lane,
    lane,
    async receive(_max, waitMs, signal): Promise<readonly SourceMessage<string>[]> {
      await clock.sleep(delayMs, signal)
      if (left === 0) {
        await clock.sleep(waitMs, signal)
        return []
      }
      left -= 1
      return [
        {
          text: encodeTicket(newTicket({ queue: 'q', lane })),
          handle: `${lane} ${left}`,
          redelivered: false,
        },
      ]
    },
    ack: async () => undefined,
    release: async (handle) => void released.push(handle),
  }
  return { source, released }
}

it('a ticket that is asked for does not go back while the slow poll of a higher lane is waited for', async () => {
  const clock = virtualClock()
  const high = slowLane(clock, 'high', 900, 0)
  const low = slowLane(clock, 'low', 100, 1)
  const options = { driver: 'slow', queue: 'q', logger: silentLogger, clock }
  const subscription = new LaneSubscription({ ...options, sources: [high.source, low.source] })
  const lanes: Lane[] = []
  void subscription
    .next(1, new AbortController().signal)
    .then((given) => lanes.push(...given.map(({ ticket }) => ticket.lane)))
  await clock.advance(1_000)
  expect(lanes).toEqual(['low'])
  expect(low.released).toEqual([])
  const closed = subscription.close()
  await clock.advance(2_000)
  await closed
})
