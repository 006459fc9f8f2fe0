import { expect, test } from 'vitest'
import { scaleLimit } from '@errand/testkit'
import { defineJob, handle, isErrandError } from '../../src/index.ts'
import { virtualClock } from '../../src/testing/virtual-clock.ts'
import { aborted, hold, stage } from './stage.ts'

const work = defineJob({ name: 'work' })

test('cancelling a running job aborts its signal at once, long before the next beat', async () => {
  await using on = stage()
  let reason: unknown
  const { id } = await on.begin(work, async ({ signal }) => {
    await aborted(signal)
    reason = signal.reason
    signal.throwIfAborted()
  })
  const askedMs = performance.now()
  await on.errand.jobs.cancel(id, { by: 'Grace', reason: 'not needed' })
  await on.until(id, 'cancelled')
  expect(performance.now() - askedMs).toBeLessThan(scaleLimit(1_000))
  expect(isErrandError(reason, 'E_CANCELLED')).toBe(true)
  expect(String(reason)).toContain('cancelled by Grace: not needed')
  expect(await on.history(id)).toEqual(['dispatched', 'started', 'cancel_requested', 'cancelled'])
})

test('a job that succeeds although it was to be cancelled has succeeded', async () => {
  await using on = stage()
  const { id } = await on.begin(work, ({ signal }) => aborted(signal))
  await on.errand.jobs.cancel(id, { by: 'Grace' })
  await on.until(id, 'succeeded')
})

test('progress reaches the log at once, then the newest of each second, and waits for no beat', async () => {
  const clock = virtualClock()
  await using on = stage({ clock })
  const steps = [hold(), hold()]
  await on.work({
    handlers: [
      handle(work, async (_, ctx) => {
        ctx.progress(0.1)
        ctx.progress(0.5, 'half way')
        await steps[0]?.promise
        for (const value of [0.6, 0.7, 0.8]) ctx.progress(value)
        await steps[1]?.promise
      }),
    ],
  })
  const { id } = await on.errand.dispatch(work)
  await on.until(id, 'started')
  await clock.advance(100)
  expect(await on.history(id)).toEqual(['dispatched', 'started', 'progressed'])
  expect(await on.log.get(id)).toMatchObject({ progress: { value: 0.5, message: 'half way' } })
  steps[0]?.resolve()
  await clock.advance(500)
  expect(await on.log.get(id)).toMatchObject({ progress: { value: 0.5 } })
  await clock.advance(600)
  expect(await on.log.get(id)).toMatchObject({ progress: { value: 0.8 } })
  steps[1]?.resolve()
  await on.until(id, 'succeeded')
  expect(await on.history(id)).toEqual(['dispatched', 'started', 'progressed', 'progressed', 'succeeded'])
})
