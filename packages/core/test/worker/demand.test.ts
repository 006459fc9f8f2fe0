import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { virtualClock } from '../../src/testing/virtual-clock.ts'
import { Demand } from '../../src/worker/intake/demand.ts'
import type { Ask, Line } from '../../src/worker/intake/demand.ts'
import type { Seats } from '../../src/worker/intake/seats.ts'
import type { Slot } from '../../src/worker/run/slot.ts'
import { tries } from '../../../../integration-tests/services/tries.ts'

const never = new AbortController().signal
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** Asks, and keeps what it got in a place that can be looked at. */
function asking(demand: Demand, line: Line): { got: Ask | undefined } {
  const place: { got: Ask | undefined } = { got: undefined }
  void demand.ask(line, never).then((ask) => (place.got = ask))
  return place
}

/** Begins this many jobs in these seats. Jobs without a seat take no slot. */
function begin(seats: Seats, jobs: number): Slot[] {
  const slots: Slot[] = []
  for (let job = 0; job < jobs; job += 1) {
    seats.start({ begin: (slot) => slots.push(slot), giveBack: () => undefined })
  }
  return slots
}

/** The ask was answered with this many jobs, each of which now runs. */
function answer(ask: Ask | undefined, jobs: number): readonly Slot[] {
  if (!ask) return []
  using seats = ask.reserve(jobs)
  const slots = begin(seats, jobs)
  ask.done(jobs)
  return slots
}

test('a pool with one queue asks for every free slot', async () => {
  const demand = new Demand(10, virtualClock())
  const line = demand.join()
  const first = asking(demand, line)
  await turn()
  expect(first.got?.max).toBe(10)
  answer(first.got, 3)
  const second = asking(demand, line)
  await turn()
  expect(second.got?.max).toBe(7)
})

test('slots that come free in one turn of the event loop are one ask', async () => {
  const demand = new Demand(4, virtualClock())
  const line = demand.join()
  const first = asking(demand, line)
  await turn()
  const slots = answer(first.got, 4)
  const second = asking(demand, line)
  await turn()
  expect(second.got).toBeUndefined()
  for (const slot of slots.slice(0, 3)) slot.giveBack()
  await turn()
  await turn()
  expect(second.got?.max).toBe(3)
})

test('idle queues ask for one slot each, and a busy one for the rest', async () => {
  const demand = new Demand(10, virtualClock())
  const lines = ['busy', 'idle', 'idle too'].map(() => demand.join())
  const asks = lines.map((line) => asking(demand, line))
  await turn()
  expect(asks.map(({ got }) => got?.max)).toEqual([1, 1, 1])
  answer(asks[0]?.got, 1)
  const again = asking(demand, lines[0]!)
  await turn()
  expect(again.got?.max).toBe(7)
})

test('an idle ask gives its slot to a busy queue that needs it, and gets a turn again', async () => {
  const clock = virtualClock()
  const demand = new Demand(2, clock)
  const [busy, idle] = [demand.join(), demand.join()]
  const first = asking(demand, busy)
  const waiting = asking(demand, idle)
  await turn()
  const [slot] = answer(first.got, 1)
  const more = asking(demand, busy)
  await clock.advance(50)
  expect(waiting.got?.signal.aborted).toBe(false)
  expect(more.got).toBeUndefined()
  await clock.advance(60)
  expect(waiting.got?.signal.aborted).toBe(true)
  waiting.got?.done(0)
  await turn()
  expect(more.got?.max).toBe(1)

  const patient = asking(demand, idle)
  await clock.advance(1_000)
  answer(more.got, 1)
  const greedy = asking(demand, busy)
  slot?.giveBack()
  await turn()
  await turn()
  expect(patient.got?.max).toBe(1)
  expect(greedy.got).toBeUndefined()
})

test('a queue that gave its slot to a busy one gets it back when that one has no more jobs', async () => {
  const clock = virtualClock()
  const demand = new Demand(1, clock)
  const [busy, idle] = [demand.join(), demand.join()]
  const first = asking(demand, busy)
  await turn()
  const [slot] = answer(first.got, 1)
  const waiting = asking(demand, idle)
  slot?.giveBack()
  await turn()
  await turn()
  const more = asking(demand, busy)
  await clock.advance(100)
  expect(waiting.got?.signal.aborted).toBe(true)
  // It rests now. The busy one has a job, and then no more.
  waiting.got?.done(0)
  await turn()
  const [next] = answer(more.got, 1)
  const patient = asking(demand, idle)
  const last = asking(demand, busy)
  next?.giveBack()
  await turn()
  await turn()
  expect(last.got?.max).toBe(1)
  await clock.advance(1_000)
  expect(last.got?.signal.aborted).toBe(true)
  last.got?.done(0)
  await turn()
  expect(patient.got?.max).toBe(1)
})

test('more idle queues than slots take turns', async () => {
  const clock = virtualClock()
  const demand = new Demand(1, clock)
  const served: string[] = []
  for (const queue of ['a', 'b', 'c']) {
    const line = demand.join()
    void (async (): Promise<void> => {
      for (;;) {
        const ask = await demand.ask(line, never)
        if (!ask) return
        served.push(queue)
        await new Promise((resolve) => ask.signal.addEventListener('abort', resolve))
        ask.done(0)
      }
    })()
  }
  for (let second = 0; second < 7; second += 1) await clock.advance(1_000)
  expect(served.slice(0, 6)).toEqual(['a', 'b', 'c', 'a', 'b', 'c'])
})

test('slots can be borrowed from an ask that has no answer; it gives way when they are filled', async () => {
  const demand = new Demand(3, virtualClock())
  const ask = asking(demand, demand.join())
  await turn()
  using seats = await demand.borrow(2, never)
  expect(begin(seats, 3)).toHaveLength(2)
  expect(ask.got?.signal.aborted).toBe(false)
  demand.rebalance()
  expect(ask.got?.signal.aborted).toBe(true)
})

test('whatever happens, no more is asked for in all than is free, and no slot is lost', async () => {
  const step = fc.record({
    queue: fc.nat(3),
    does: fc.constantFrom('ask', 'answer', 'end', 'wait'),
    jobs: fc.nat(6),
  })
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 6 }),
      fc.array(step, { maxLength: 60 }),
      async (size, steps) => {
        const clock = virtualClock()
        const demand = new Demand(size, clock)
        const lines = ['a', 'b', 'c', 'd'].map(() => demand.join())
        const asks = new Map<number, { got: Ask | undefined }>()
        const running: Slot[] = []
        for (const { queue, does, jobs } of steps) {
          const ask = asks.get(queue)
          if (does === 'ask' && !ask) asks.set(queue, asking(demand, lines[queue]!))
          if (does === 'answer' && ask?.got) {
            // Fewer may come than were asked for, and one more than there is a seat for.
            using seats = ask.got.reserve(Math.min(jobs, ask.got.max))
            const begun = begin(seats, Math.max(0, seats.left + (jobs % 3) - 1))
            running.push(...begun)
            ask.got.done(begun.length)
            asks.delete(queue)
          }
          if (does === 'end') {
            const slot = running.pop()
            slot?.giveBack()
            slot?.giveBack()
          }
          if (does === 'wait') await clock.advance(jobs * 100)
          await turn()
          const asked = [...asks.values()].reduce((sum, each) => sum + (each.got?.max ?? 0), 0)
          expect(asked).toBeLessThanOrEqual(size - running.length)
          expect(demand.slots.free).toBe(size - running.length)
        }
      },
    ),
    tries(60),
  )
})
