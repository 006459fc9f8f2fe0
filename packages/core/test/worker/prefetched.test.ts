import { expect, test } from 'vitest'
import { virtualClock } from '../../src/testing/virtual-clock.ts'
import { Prefetched } from '../../src/worker/intake/prefetched.ts'

/** How many a worker of ten slots wants in prefetched once its jobs have had their slots for so long. */
function wantedAfter(...runs: readonly { readonly ms: number; readonly times: number }[]): number {
  const prefetched = new Prefetched(
    10,
    true,
    virtualClock(),
    () => false,
    () => undefined,
  )
  for (const { ms, times } of runs) for (let run = 0; run < times; run += 1) prefetched.ran(ms)
  return prefetched.wanted
}

test('it wants as many jobs as begin within 10 ms, at most four for each slot, and none that take longer', () => {
  expect(wantedAfter({ ms: 0.1, times: 500 })).toBe(40)
  expect(wantedAfter({ ms: 4, times: 500 })).toBe(24)
  expect(wantedAfter({ ms: 9.9, times: 500 })).toBe(10)
  expect(wantedAfter({ ms: 11, times: 500 })).toBe(0)
  expect(wantedAfter()).toBe(0)
})

test('a single run that takes long is enough to want none', () => {
  expect(wantedAfter({ ms: 1, times: 500 }, { ms: 1_000, times: 1 })).toBe(0)
})

test('all of it goes back when no slot has come free for a second, and then it wants none', async () => {
  const clock = virtualClock()
  let room = 0
  const prefetched = new Prefetched(
    10,
    true,
    clock,
    () => false,
    (count) => (room += count),
  )
  for (let run = 0; run < 500; run += 1) prefetched.ran(1)
  const back: string[] = []
  for (const name of ['first', 'second', 'third']) {
    prefetched.put({ begin: () => undefined, giveBack: () => back.push(name) })
  }
  await clock.advance(900)
  prefetched.next()
  await clock.advance(900)
  expect([back, prefetched.count]).toEqual([[], 2])
  await clock.advance(100)
  expect([back, prefetched.count, prefetched.wanted, room]).toEqual([['second', 'third'], 0, 0, 2])
})
