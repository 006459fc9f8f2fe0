import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineJob, handle } from '../../src/index.ts'
import { virtualClock } from '../../src/testing/virtual-clock.ts'
import { memoryDriver } from '../../src/testing/memory-driver.ts'
import { hold, stage } from './stage.ts'

const chore = defineJob({ name: 'chore', payload: z.object({ what: z.string() }) })
const long = defineJob({ name: 'long', timeout: '1h' })

test('slots that were taken for long go to critical jobs, not to a backlog that counts as overdue', async () => {
  const clock = virtualClock()
  await using on = stage({ clock, driver: memoryDriver() })
  const seen: string[] = []
  const held = hold()
  await on.work({
    concurrency: 4,
    handlers: [
      handle(long, () => held.promise),
      handle(chore, async ({ what }) => {
        seen.push(what)
        await new Promise<void>((resolve) => clock.after(1_000, resolve))
      }),
    ],
  })
  const blockers = await on.errand.dispatchMany(Array.from({ length: 4 }, () => long.with(undefined)))
  for (const { id } of blockers) await on.until(id, 'started')
  await on.errand.dispatchMany(Array.from({ length: 20 }, () => chore.with({ what: 'low' }, { lane: 'low' })))
  // The worker has brought nothing for long, and the backlog is overdue; but nothing says that its tickets are lost.
  await clock.advance(60_000)
  const critical = await on.errand.dispatchMany(
    Array.from({ length: 4 }, () => chore.with({ what: 'critical' }, { lane: 'critical' })),
  )
  held.resolve()
  for (const { id } of blockers) await on.until(id, 'succeeded')
  await clock.advance(500)
  for (const { id } of critical.slice(0, 3)) await on.until(id, 'started')
  // One slot's worth every ten seconds is for overdue jobs, whatever else there is.
  expect(seen.toSorted()).toEqual(['critical', 'critical', 'critical', 'low'])
})
