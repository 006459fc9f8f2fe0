import { expect, test } from 'vitest'
import { defineJob, handle } from '../../src/index.ts'
import { virtualClock } from '../../src/testing/virtual-clock.ts'
import { faultyDriver } from './faults.ts'
import { eventually, stage } from './stage.ts'

const work = defineJob({ name: 'work' })

test('a broker that is gone is tried at least every five seconds, for ever, and served when it is back', async () => {
  const clock = virtualClock()
  let gone = true
  const looks: number[] = []
  const driver = faultyDriver((real) => ({
    subscribe: async (queue, options) => {
      looks.push(clock.monotonicMs())
      if (gone) throw new Error('connection refused')
      return real.subscribe(queue, options)
    },
  }))
  await using on = stage({ clock, driver })
  const worker = await on.work({ handlers: [handle(work, () => undefined)] })
  await clock.advance(600_000)
  expect(worker.health().taking).toBe(false)
  const pauses = looks.slice(1).map((atMs, index) => atMs - (looks[index] ?? 0))
  expect(Math.max(...pauses)).toBeLessThanOrEqual(5_000)
  // And not in a tight loop.
  expect(looks.length).toBeLessThan(300)

  gone = false
  await clock.advance(5_000)
  await eventually(() => expect(worker.health().taking).toBe(true))
})
