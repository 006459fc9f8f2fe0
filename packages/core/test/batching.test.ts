import { expect, test } from 'vitest'
import { batcher } from '../src/batching.ts'
import { catchRefusal } from './catch-refusal.ts'

/** A batcher whose batches are answered by hand. */
function byHand(options: { maxItems?: number; maxWeight?: number; lines?: number; late?: boolean } = {}) {
  const batches: { items: readonly number[]; answer: () => void; fail: (error: Error) => void }[] = []
  const line = batcher<number, number>({
    maxItems: options.maxItems ?? 100,
    maxWeight: options.maxWeight,
    lines: options.lines,
    late: options.late,
    weigh: (item) => item,
    run: (items) =>
      new Promise((resolve, reject) => {
        batches.push({ items, answer: () => resolve(items.map((item) => item * 2)), fail: reject })
      }),
  })
  return { line, batches, sent: () => batches.map(({ items }) => items) }
}

const settled = () => new Promise<void>((resolve) => setImmediate(resolve))

test('what is added in one tick goes together, at once', async () => {
  const { line, batches, sent } = byHand()
  const results = Promise.all([line.add(1), line.add(2), line.add(3)])
  await settled()
  expect(sent()).toEqual([[1, 2, 3]])
  batches[0]?.answer()
  expect(await results).toEqual([2, 4, 6])
})

test('one batch is in flight; the next carries what has gathered', async () => {
  const { line, batches, sent } = byHand()
  const all = [line.add(1)]
  await settled()
  for (const item of [2, 3, 4]) {
    all.push(line.add(item))
    await settled()
  }
  expect(sent()).toEqual([[1]])
  batches[0]?.answer()
  await settled()
  expect(sent()).toEqual([[1], [2, 3, 4]])
  batches[1]?.answer()
  expect(await Promise.all(all)).toEqual([2, 4, 6, 8])
})

test('64 single items in flight cost two batches', async () => {
  const { line, batches, sent } = byHand()
  const first = line.add(0)
  await settled()
  const rest = Array.from({ length: 63 }, (_, index) => line.add(index))
  batches[0]?.answer()
  await settled()
  batches[1]?.answer()
  await Promise.all([first, ...rest])
  expect(sent().map((items) => items.length)).toEqual([1, 63])
})

test('a batch holds at most so many items and so much weight; one that is heavier goes alone', async () => {
  const { line, batches, sent } = byHand({ maxItems: 3, maxWeight: 10 })
  const all = Promise.all([4, 5, 6, 1, 1, 1, 99, 2].map((item) => line.add(item)))
  for (let index = 0; index < 5; index += 1) {
    await settled()
    batches[index]?.answer()
  }
  await all
  expect(sent()).toEqual([[4, 5], [6, 1, 1], [1], [99], [2]])
})

test('an error rejects the items of its batch, and the next batch goes on', async () => {
  const { line, batches } = byHand()
  const lost = Promise.allSettled([line.add(1), line.add(2)])
  await settled()
  const kept = line.add(3)
  batches[0]?.fail(new Error('gone'))
  expect((await lost).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  await settled()
  batches[1]?.answer()
  expect(await kept).toBe(6)
})

test('too few answers are an error, not somebody else’s answer', async () => {
  const line = batcher<number, number>({ maxItems: 10, run: async () => [1] })
  const results = await Promise.allSettled([line.add(1), line.add(2)])
  expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
})

test('closing answers what was added, and takes no more', async () => {
  const { line, batches } = byHand()
  const added = line.add(1)
  const closing = line.close()
  expect(await catchRefusal(() => line.add(2))).toMatchObject({ code: 'E_CLOSED' })
  await settled()
  batches[0]?.answer()
  await closing
  expect([await added, line.size]).toEqual([2, 0])
})

test('who waits until it is idle is told, also when something is added as the last answer comes', async () => {
  const { line, batches } = byHand({ late: true })
  const first = line.add(1)
  const second = first.then(() => line.add(2))
  const idle = line.idle()
  await settled()
  batches[0]?.answer()
  await first
  await settled()
  await settled()
  batches[1]?.answer()
  expect(await second).toBe(4)
  await idle
})

test('with two lines, what gathered goes in two halves, one right behind the other', async () => {
  const { line, batches, sent } = byHand({ lines: 2, maxWeight: 1e9 })
  const items = Array.from({ length: 64 }, (_, index) => index)
  const all = items.map((item) => line.add(item))
  await settled()
  expect(sent()).toEqual([items.slice(0, 32), items.slice(32)])
  batches[0]?.answer()
  const next = [line.add(64), line.add(65)]
  await settled()
  // The second half is still under way: items that have come since then do not wait for it.
  expect(sent()[2]).toEqual([64, 65])
  batches[1]?.answer()
  batches[2]?.answer()
  expect(await Promise.all([...all, ...next])).toEqual([...items, 64, 65].map((item) => item * 2))
})

test('a late one sends behind what else is done in this turn of the event loop', async () => {
  const { line, batches, sent } = byHand({ late: true })
  const seen: unknown[] = []
  setImmediate(() => seen.push(sent()))
  const results = [line.add(1)]
  await Promise.resolve()
  results.push(line.add(2))
  await settled()
  seen.push(sent())
  expect(seen).toEqual([[], [[1, 2]]])
  batches[0]?.answer()
  expect(await Promise.all(results)).toEqual([2, 4])
  await line.close()
})

test('with two lines, few items are not divided', async () => {
  const { line, batches, sent } = byHand({ lines: 2 })
  const all = Promise.all(Array.from({ length: 10 }, (_, index) => line.add(index)))
  await settled()
  expect(sent()).toHaveLength(1)
  batches[0]?.answer()
  await all
})

test('idle and close wait for all lines', async () => {
  const { line, batches } = byHand({ lines: 2, maxWeight: 1e9 })
  const all = Promise.all(Array.from({ length: 40 }, (_, index) => line.add(index)))
  await settled()
  let closed = false
  const closing = line.close().then(() => (closed = true))
  batches[1]?.answer()
  await settled()
  expect([closed, line.size]).toEqual([false, 20])
  batches[0]?.answer()
  await Promise.all([all, closing])
  expect(line.size).toBe(0)
})
