import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { defineJob, handle, isErrandError } from '../../src/index.ts'
import { virtualClock } from '../../src/testing/virtual-clock.ts'
import { eventually, stage } from '../worker/stage.ts'

const index = defineJob({
  name: 'index',
  payload: z.object({ doc: z.string(), text: z.string() }),
  unique: { key: ({ doc }) => doc, debounce: { wait: '5s', atMost: '1m' } },
})

describe('a debounced job', () => {
  it('runs once after a stream of dispatches, with the newest payload', async () => {
    const clock = virtualClock()
    await using on = stage({ clock })
    const seen: string[] = []
    await on.work({ handlers: [handle(index, ({ doc, text }) => void seen.push(`${doc} ${text}`))] })
    const first = await on.errand.dispatch(index, { doc: 'a', text: '1' })
    expect(first.status).toBe('added')
    for (const text of ['2', '3']) {
      await clock.advance(3_000)
      expect(await on.errand.dispatch(index, { doc: 'a', text })).toEqual({
        id: first.id,
        status: 'replaced',
      })
    }
    expect((await on.errand.dispatch(index, { doc: 'b', text: '1' })).status).toBe('added')
    await clock.advance(4_900)
    expect(seen).toEqual([])
    await clock.advance(1_000)
    await eventually(() => expect(seen.toSorted()).toEqual(['a 3', 'b 1']))
    expect((await on.errand.dispatch(index, { doc: 'a', text: '4' })).status).toBe('added')
  })

  it('is not starved by a stream that never ends', async () => {
    const clock = virtualClock()
    await using on = stage({ clock })
    const seen: number[] = []
    await on.work({ handlers: [handle(index, ({ text }) => void seen.push(Number(text)))] })
    for (let second = 0; second < 130; second += 1) {
      await on.errand.dispatch(index, { doc: 'a', text: String(second) })
      await clock.advance(1_000)
    }
    await eventually(() => expect(seen).toHaveLength(2))
    for (const [nth, second] of seen.entries()) {
      expect(second).toBeGreaterThan(nth * 60 + 55)
      expect(second).toBeLessThan((nth + 1) * 62 + 5)
    }
  })

  it('takes the newest of several payloads of one call', async () => {
    const clock = virtualClock()
    await using on = stage({ clock })
    const receipts = await on.errand.dispatchMany([
      index.with({ doc: 'a', text: '1' }),
      index.with({ doc: 'b', text: '1' }),
      index.with({ doc: 'a', text: '2' }),
    ])
    expect(receipts.map(({ status }) => status)).toEqual(['added', 'added', 'replaced'])
    expect(receipts[2].id).toBe(receipts[0].id)
    expect((await on.errand.jobs.get(receipts[0].id))?.payload).toEqual({ doc: 'a', text: '2' })
  })

  it('checks each payload, and says when a time of its own is refused', async () => {
    await using on = stage()
    await on.errand.dispatch(index, { doc: 'a', text: '1' })
    const wrong = on.errand.dispatch(index, { doc: 'a', text: 7 as unknown as string })
    await expect(wrong).rejects.toSatisfy((error) => isErrandError(error, 'E_PAYLOAD_INVALID'))
    const late = on.errand.dispatch(index, { doc: 'a', text: '2' }, { delay: '1h' })
    await expect(late).rejects.toThrow('unique.debounce says when it is due')
  })

  it('is refused where its times contradict each other', () => {
    const define = (unique: object): unknown =>
      defineJob({ name: 'wrong', unique: { key: () => 'k', ...unique } })
    expect(() => define({ debounce: { wait: '5s', atMost: '1s' } })).toThrow('atMost no shorter than wait')
    expect(() => define({ debounce: { wait: 0, atMost: '1s' } })).toThrow('wait must be above 0')
    expect(() => define({ debounce: { wait: '5s', atMost: '1m' }, until: 'finished' })).toThrow(
      'leave out until',
    )
    expect(() => define({ debounce: { wait: '5s', atMost: '1m' }, for: '1m' })).toThrow('leave out for')
    expect(() => define({ debounce: { wait: '5s', atLeast: '1m' } })).toThrow('did you mean "atMost"?')
  })
})
