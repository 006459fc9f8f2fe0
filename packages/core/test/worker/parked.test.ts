import { expect, test } from 'vitest'
import { z } from 'zod'
import { defineJob, handle } from '../../src/index.ts'
import { systemClock } from '../../src/ports/system-clock.ts'
import { eventually, stage } from './stage.ts'

const known = defineJob({ name: 'known', queue: 'shared' })
const unknown = defineJob({ name: 'unknown', queue: 'shared' })

test('a job that no handler knows goes back for a worker that does', async () => {
  await using on = stage()
  const first = await on.work({ handlers: [handle(known, () => undefined)] })
  const { id } = await on.errand.dispatch(unknown)
  await on.until(id, 'snoozed')
  expect(await on.log.get(id)).toMatchObject({ state: 'scheduled', attempt: 0 })
  await first.stop()
  await on.errand.jobs.change(id, { at: new Date() }, { by: 'tester' })
  await on.work({ handlers: [handle(unknown, () => undefined)] })
  await on.until(id, 'succeeded')
})

test('a job that nobody knew for a day fails, and failing is told', async () => {
  let laterMs = 0
  await using on = stage({ clock: { ...systemClock, now: () => systemClock.now() + laterMs } })
  const told: string[] = []
  await on.work({
    handlers: [handle(known, () => undefined)],
    failing: ({ job, error, cause }) => void told.push(`${job.name}: ${cause}: ${error.message}`),
  })
  const { id } = await on.errand.dispatch(unknown)
  await on.until(id, 'snoozed')
  laterMs += 3_600_000
  await eventually(async () =>
    expect((await on.history(id)).filter((type) => type === 'snoozed')).toHaveLength(2),
  )
  laterMs += 86_400_000
  await on.until(id, 'failed')
  await eventually(() =>
    expect(told).toEqual(["unknown: unknown-job: this worker has no handler for 'unknown'"]),
  )
})

test('a payload that no longer fits its schema is parked, not swallowed', async () => {
  await using on = stage()
  const old = defineJob({ name: 'report', payload: z.object({ month: z.string() }) })
  const renamed = defineJob({ name: 'report', payload: z.object({ period: z.string() }) })
  const seen: unknown[] = []
  await on.work({ handlers: [handle(renamed, (payload) => void seen.push(payload))] })
  const { id } = await on.errand.dispatch(old, { month: '2026-01' })
  await on.until(id, 'snoozed')
  const [, , snoozed] = await on.events(id)
  expect(snoozed?.data.reason).toContain("does not fit the schema of 'report'")
  expect(snoozed?.data.reason).not.toContain('2026-01')
  expect(seen).toEqual([])
})
