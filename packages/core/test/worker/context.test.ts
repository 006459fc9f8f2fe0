import { expect, test } from 'vitest'
import { defineJob, handle } from '../../src/index.ts'
import { stage } from './stage.ts'

const job = defineJob({ name: 'a' })

test('what a context has may be taken out of it, and copied', async () => {
  await using on = stage()
  let sameSignal = false
  await on.work({
    handlers: [
      handle(job, (_, ctx) => {
        const { signal, log, snooze, attempt } = ctx
        const copy = { ...ctx }
        copy.log.info({}, 'from a copy')
        sameSignal = ctx.signal === signal && copy.signal === signal
        log.info({}, `taken out in attempt ${attempt}`)
        return snooze('1h')
      }),
    ],
  })
  const { id } = await on.errand.dispatch(job)
  await on.until(id, 'snoozed')
  expect(sameSignal).toBe(true)
  for (const message of ['from a copy', 'taken out in attempt 1']) {
    expect(on.lines).toContainEqual(
      expect.objectContaining({
        message,
        fields: expect.objectContaining({ job: id, jobName: 'a', attempt: 1 }),
      }),
    )
  }
})
