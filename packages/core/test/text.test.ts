import { expect, test } from 'vitest'
import { freeText } from '../src/text.ts'
import { defineJob, fixed, handle } from '../src/index.ts'
import { stage } from './worker/stage.ts'

test('a free text keeps what every log can store, and is cut with a mark at so many bytes', () => {
  expect(freeText('halfway 🎉')).toBe('halfway 🎉')
  expect(freeText('a\0b\uD800c')).toBe('a\uFFFDb\uFFFDc')
  expect(freeText('x'.repeat(4_096))).toHaveLength(4_096)
  const long = freeText('🎉'.repeat(10_000_000))
  expect(Buffer.byteLength(long)).toBeLessThanOrEqual(4_096)
  expect(long).toMatch(/^(🎉)+…$/u)
  expect(Buffer.byteLength(freeText('\0'.repeat(4_096)))).toBeLessThanOrEqual(4_096)
  expect(
    freeText({
      toString: () => {
        throw new Error('no')
      },
    }),
  ).toBe('a value that cannot be read')
})

test('what handlers and operators say is bounded and storable, whatever it is', async () => {
  await using on = stage()
  const job = defineJob({ name: 'talk', retry: { attempts: 9, backoff: fixed(0) } })
  const text = `\0\uD800${'x'.repeat(30_000_000)}`
  const outcomes = [
    (ctx: Parameters<Parameters<typeof handle>[1]>[1]) => ctx.retry({ after: 0, reason: text }),
    (ctx: Parameters<Parameters<typeof handle>[1]>[1]) => ctx.snooze(0, text),
    (ctx: Parameters<Parameters<typeof handle>[1]>[1]) => ctx.cancel(text),
  ]
  await on.work({
    handlers: [
      handle(job, (_, ctx) => {
        ctx.progress(0.5, text)
        return outcomes[ctx.run - 1]?.(ctx)
      }),
    ],
  })
  const { id } = await on.errand.dispatch(job)
  await on.until(id, 'cancelled')
  await on.errand.jobs.replay(id, { by: text, reason: text })
  await on.until(id, 'succeeded')
  const events = await on.events(id)
  const progress = events.flatMap(({ type, data }) => (type === 'progressed' ? [String(data.message)] : []))
  expect(progress).not.toEqual([])
  for (const message of progress) {
    expect(Buffer.byteLength(message)).toBeLessThanOrEqual(4_096)
    expect(message).toMatch(/^\uFFFD\uFFFDx+…$/)
  }
  const all = JSON.stringify(events)
  expect(all.length).toBeLessThan(60_000)
  expect(all).not.toMatch(/\\u0000|\\ud800/)
})
