import { expect, test } from 'vitest'
import { defineJob, fixed, handle } from '../../src/index.ts'
import type { Context } from '../../src/index.ts'
import type { Transaction } from '../../src/ports/transaction.ts'
import { stage } from './stage.ts'

const job = defineJob({ name: 'work', retry: { attempts: 2, backoff: fixed('1h') } })
const tx = { query: async () => ({ rows: [], rowCount: 0 }) } as unknown as Transaction

const ends: readonly (readonly [end: string, event: string, act: (ctx: Context) => unknown])[] = [
  ['it succeeds', 'succeeded', () => undefined],
  ['it fails for good', 'failed', (ctx) => ctx.fail('no')],
  ['it throws, and waits for its retry', 'errored', () => Promise.reject(new Error('not yet'))],
  ['it is snoozed', 'snoozed', (ctx) => ctx.snooze('1h')],
  ['it completes in a transaction', 'succeeded', (ctx) => ctx.complete({ tx, result: undefined })],
]

test.for(ends)('the last progress of a run is in the log before its end: %s', async ([, event, act]) => {
  await using on = stage()
  await on.work({
    handlers: [
      handle(job, (_, ctx) => {
        ctx.progress(0.1)
        ctx.progress(0.9, 'almost')
        return act(ctx)
      }),
    ],
  })
  const { id } = await on.errand.dispatch(job)
  await on.until(id, event)
  const events = await on.events(id)
  const before = events.at(-2)
  expect(before).toMatchObject({ type: 'progressed', data: { progress: 0.9, message: 'almost' } })
})

test('a log that answers no beat does not keep an outcome waiting for good', async () => {
  await using on = stage({
    wrap: (log) => ({
      ...log,
      beat: async (by, report) => {
        if (report.progress.length > 0) throw new Error('the log is slow')
        return log.beat(by, report)
      },
    }),
  })
  await on.work({ handlers: [handle(job, (_, ctx) => ctx.progress(0.9))] })
  const { id } = await on.errand.dispatch(job)
  await on.until(id, 'succeeded')
})
