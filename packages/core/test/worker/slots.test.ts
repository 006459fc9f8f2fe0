import { expect, test } from 'vitest'
import { virtualClock } from '../../src/testing/virtual-clock.ts'
import { Slots } from '../../src/worker/intake/slots.ts'
import type { Slot } from '../../src/worker/run/slot.ts'

/** What a worker of so many slots takes at a time, once its jobs have had their slots for so long. */
async function takesAfter(size: number, runMs: number | undefined): Promise<number> {
  const clock = virtualClock()
  const slots = new Slots({ size, ahead: false, clock, allowance: undefined, freed: () => undefined })
  if (runMs !== undefined) {
    slots.reserve(1)
    const slot = await new Promise<Slot>((resolve) => {
      slots.start({ begin: resolve, giveBack: () => undefined })
    })
    await clock.advance(runMs)
    slot.giveBack()
  }
  return slots.takes
}

test('it takes as many tickets as it has slots, or as it begins in a quarter of a second', async () => {
  expect(await takesAfter(10, undefined)).toBe(10)
  expect(await takesAfter(10, 1)).toBe(10)
  expect(await takesAfter(10, 250)).toBe(10)
  expect(await takesAfter(10, 500)).toBe(5)
  expect(await takesAfter(10, 2_500)).toBe(1)
  expect(await takesAfter(1, 300)).toBe(0)
})
