import { describe, expect, it, onTestFinished } from 'vitest'
import { newTicket, quietLogger } from '@errand/testkit'
import { IdlePolls, encodeTicket, LaneSubscription } from '../../src/driver-kit.ts'
import type { LaneSource, SourceMessage } from '../../src/driver-kit.ts'
import { lanes } from '../../src/ports.ts'
import type { Delivery, Lane, Topic } from '../../src/ports.ts'
import { virtualClock } from '../../src/testing/virtual-clock.ts'
import { waitFor } from '../../src/wait.ts'

const pollMs = 20_000
const queues = 20

/** A broker of lanes that counts the polls that wait, and a log that wakes. */
function stage({ isDeaf = false } = {}) {
  const clock = virtualClock()
  const polls = new IdlePolls()
  const waiting = new Map<string, () => void>()
  const messages = new Map<string, string[]>()
  const listeners = new Map<string, () => void>()
  let requests = 0
  let most = 0

  const makeSource = (queue: string, lane: Lane): LaneSource => {
    const name = `${queue}-${lane}`
    return {
      name,
      lane,
      async receive(max, waitMs, signal): Promise<readonly SourceMessage[]> {
        requests += 1
        if (!messages.get(name)?.length && waitMs > 0) {
          await waitFor<void>(signal, undefined, (wake) => {
            waiting.set(name, () => wake())
            most = Math.max(most, waiting.size)
            const stop = clock.after(waitMs, () => wake())
            return () => (stop(), waiting.delete(name))
          })
        }
        const received = messages.get(name)?.splice(0, max) ?? []
        return received.map((text) => ({ text, handle: text, redelivered: false }))
      },
      ack: async () => undefined,
      release: async () => undefined,
    }
  }

  async function* wakeups(queue: string, signal: AbortSignal): AsyncIterable<Topic | 'started'> {
    if (isDeaf) throw new Error('this log cannot listen')
    yield 'started'
    while (!signal.aborted) {
      await waitFor<void>(signal, undefined, (wake) => {
        listeners.set(queue, () => wake())
        return () => listeners.delete(queue)
      })
      yield `queue:${queue}`
    }
  }

  const got: { readonly delivery: Delivery; readonly atMs: number }[] = []
  const ended = new AbortController()
  onTestFinished(() => ended.abort())
  const subscribe = (queue: string): void => {
    const subscription = new LaneSubscription({
      driver: 'test',
      queue,
      sources: lanes.map((lane) => makeSource(queue, lane)),
      clock,
      logger: quietLogger,
      longestWaitMs: pollMs,
      idle: { polls, wakeups: (signal) => wakeups(queue, signal) },
    })
    const ask = async (): Promise<void> => {
      while (!ended.signal.aborted) {
        for (const delivery of await subscription.next(10, ended.signal))
          got.push({ delivery, atMs: clock.monotonicMs() })
      }
    }
    void ask()
  }
  return {
    clock,
    got,
    subscribe,
    get waiting() {
      return waiting.size
    },
    get requests() {
      return requests
    },
    get most() {
      return most
    },
    restart: () => void (most = 0),
    /** @param isTold whether the log wakes the queue, as at a dispatch */
    send(queue: string, lane: Lane, isTold: boolean): string {
      const ticket = newTicket({ queue, lane })
      const name = `${queue}-${lane}`
      messages.set(name, [...(messages.get(name) ?? []), encodeTicket(ticket)])
      if (isTold) listeners.get(queue)?.()
      waiting.get(name)?.()
      return ticket.id
    },
  }
}

const names = Array.from({ length: queues }, (_, at) => `queue${at}`)

describe('polls of idle lanes', () => {
  it('are eight at a time for twenty queues, and every lane has its turn', async () => {
    const on = stage()
    for (const name of names) on.subscribe(name)
    await on.clock.advance(2 * pollMs)
    on.restart()
    const before = on.requests
    await on.clock.advance(10 * pollMs)
    expect(on.most).toBe(8)
    expect(on.requests - before).toBeLessThanOrEqual(8 * 11)
    // Nobody told of these: they were moved here, or forged.
    const ids = names.map((name, at) => on.send(name, lanes[at % 4]!, false))
    await on.clock.advance((1 + (4 * queues) / 8) * pollMs)
    expect(on.got.map(({ delivery }) => delivery.ticket.id).toSorted()).toEqual(ids.toSorted())
  })

  it('begin at once on the lanes of a queue that the log wakes, and end when nothing comes', async () => {
    const on = stage()
    for (const name of names) on.subscribe(name)
    await on.clock.advance(3 * pollMs)
    for (const name of names) {
      const sentMs = on.clock.monotonicMs()
      const id = on.send(name, 'low', true)
      // A poll that has just begun in its turn holds lower lanes back for so long.
      await on.clock.advance(100)
      const found = on.got.find(({ delivery }) => delivery.ticket.id === id)
      expect(found && found.atMs - sentMs).toBeLessThanOrEqual(100)
    }
    await on.clock.advance(3 * pollMs)
    expect(on.waiting).toBe(8)
  })

  it('wait on every lane of two queues, and on every lane if the log cannot wake', async () => {
    const two = stage()
    for (const name of names.slice(0, 2)) two.subscribe(name)
    await two.clock.advance(3 * pollMs)
    expect(two.waiting).toBe(8)
    const deaf = stage({ isDeaf: true })
    for (const name of names) deaf.subscribe(name)
    await deaf.clock.advance(3 * pollMs)
    expect(deaf.waiting).toBe(4 * queues)
  })
})
