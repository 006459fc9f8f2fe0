import { describe, expect, it } from 'vitest'
import { newTicket } from '@errand/testkit'
import { EntryBatcher, publishEach } from '../../src/driver-kit.ts'
import type { EntryResult } from '../../src/driver-kit.ts'
import { virtualClock } from '../../src/testing.ts'

const done: EntryResult = { done: true }
const refusal = (again: boolean): EntryResult => ({ done: false, code: 'Busy', message: 'not now', again })
const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

/** A broker that takes three entries at a time, and is answered by hand. */
function byHand(gatherMs?: number | ((item: number) => number)) {
  const clock = virtualClock()
  const requests: {
    items: readonly number[]
    answer: (...results: EntryResult[]) => void
    fail: () => void
  }[] = []
  const batcher = new EntryBatcher<number>({
    maxItems: 3,
    clock,
    gatherMs,
    run: (items) =>
      new Promise((resolve, reject) => {
        const answer = (...results: EntryResult[]) =>
          resolve(results.length > 0 ? results : items.map(() => done))
        requests.push({ items, answer, fail: () => reject(new Error('unreachable')) })
      }),
  })
  const add = (...items: number[]) => items.map((item) => batcher.add(item))
  return { clock, batcher, requests, add, sent: () => requests.map(({ items }) => items) }
}

describe('entries of batches', () => {
  it('go together, full batches at once and the rest when nothing is under way', async () => {
    const { requests, add, sent } = byHand()
    const results = Promise.all(add(1, 2, 3, 4))
    await turn()
    expect(sent()).toEqual([[1, 2, 3]])
    void add(5)
    await turn()
    expect(sent()).toHaveLength(1)
    requests[0]?.answer()
    await turn()
    await turn()
    expect(sent()).toEqual([
      [1, 2, 3],
      [4, 5],
    ])
    requests[1]?.answer()
    expect(await results).toEqual([done, done, done, done])
  })

  it('wait for others where nobody waits for them, until they are flushed', async () => {
    const { clock, batcher, requests, add, sent } = byHand(1_000)
    void add(1)
    await turn()
    await clock.advance(999)
    expect(sent()).toEqual([])
    await clock.advance(1)
    expect(sent()).toEqual([[1]])
    requests[0]?.answer()
    await turn()
    void add(2)
    await turn()
    expect(sent()).toHaveLength(1)
    batcher.flush()
    await turn()
    expect(sent()).toEqual([[1], [2]])
    void add(3, 4, 5)
    await turn()
    expect(sent()[2]).toEqual([3, 4, 5])
  })

  it('wait each for its own time, and go with the first whose time is over', async () => {
    const { clock, add, sent } = byHand((item) => item)
    void add(1_000, 300)
    await turn()
    await clock.advance(299)
    expect(sent()).toEqual([])
    await clock.advance(1)
    expect(sent()).toEqual([[1_000, 300]])
  })

  it('that fail for passing reasons are repeated without their neighbours, four times in all', async () => {
    const { clock, requests, add, sent } = byHand()
    const [good, bad, final] = add(1, 2, 3)
    await turn()
    requests[0]?.answer(done, refusal(true), refusal(false))
    expect(await good).toEqual(done)
    expect(await final).toEqual(refusal(false))
    for (let round = 1; round < 4; round += 1) {
      await clock.advance(1_000)
      await turn()
      expect(sent()).toHaveLength(round + 1)
      requests[round]?.answer(refusal(true))
      await turn()
    }
    expect(await bad).toEqual(refusal(true))
    expect(sent()).toEqual([[1, 2, 3], [2], [2], [2]])
  })

  it('fail together where the request did', async () => {
    const { requests, add } = byHand()
    const results = add(1, 2).map((each) => expect(each).rejects.toThrow('unreachable'))
    await turn()
    requests[0]?.fail()
    await Promise.all(results)
  })

  it('are sent no more once their signal has aborted', async () => {
    const { batcher, requests, add, sent } = byHand()
    void add(1, 2, 3)
    const ending = new AbortController()
    const withdrawn = batcher.add(4, ending.signal)
    const kept = batcher.add(5)
    await turn()
    ending.abort(new Error('given up'))
    requests[0]?.answer()
    await turn()
    await turn()
    expect(sent()[1]).toEqual([5])
    requests[1]?.answer()
    await expect(withdrawn).rejects.toThrow('given up')
    expect(await kept).toEqual(done)
  })

  it('are idle when nothing waits, is under way or is to be repeated', async () => {
    const { clock, batcher, requests, add } = byHand(60_000)
    await batcher.idle()
    void add(1)
    let isIdle = false
    const idle = batcher.idle().then(() => (isIdle = true))
    await turn()
    requests[0]?.answer(refusal(true))
    await turn()
    const later = batcher.idle().then(() => (isIdle = true))
    await clock.advance(1_000)
    await turn()
    expect(isIdle).toBe(false)
    requests[1]?.answer()
    await Promise.all([idle, later])
  })
})

describe('publishing each ticket by itself', () => {
  const [one, two, three] = [newTicket(), newTicket(), newTicket()]

  it('reports what was accepted and what was refused, and leaves the rest open', async () => {
    const report = await publishEach([one, two, three], undefined, async ({ tickets: [ticket] }) => {
      if (ticket === three) throw new Error('unreachable')
      return ticket === one ? done : refusal(false)
    })
    expect(report).toEqual({ accepted: [one], refused: [{ ticket: two, why: 'Busy: not now' }] })
  })

  it('throws where nothing is known', async () => {
    const fails = async () => Promise.reject(new Error('unreachable'))
    await expect(publishEach([one, two], undefined, fails)).rejects.toThrow('unreachable')
  })

  it('ends when the signal aborts, with what is known by then', async () => {
    const ending = new AbortController()
    const late = Promise.withResolvers<EntryResult>()
    const publishing = publishEach([one, two], { signal: ending.signal }, ({ tickets: [ticket] }) =>
      ticket === one ? Promise.resolve(done) : late.promise,
    )
    await turn()
    ending.abort()
    const report = await publishing
    late.resolve(done)
    await turn()
    expect(report).toEqual({ accepted: [one], refused: [] })
  })
})
