import { ErrandError } from './errors.ts'
import { outside } from './outside.ts'

export interface BatcherOptions<Item, Result> {
  /**
   * One statement for all items; one result for each, in their order. A throw rejects every item of the batch. An item whose
   * result is a promise is answered later, and keeps no other one waiting.
   */
  readonly run: (items: readonly Item[]) => Promise<readonly (Result | Promise<Result>)[]>
  readonly maxItems: number
  /** The sum of `weigh(item)` in one batch; a single item may exceed it. */
  readonly maxWeight?: number | undefined
  readonly weigh?: ((item: Item) => number) | undefined
  /**
   * How many batches may be under way at a time, default 1. With more, what gathered goes in as many parts, one right
   * behind the other, and the caller works on the answer to one while the next is under way. `run` is called in the order
   * of the items, and has to keep it.
   */
  readonly lines?: number | undefined
  /** Sends at the end of this turn of the event loop instead of at once: what matters more goes first. Default false. */
  readonly late?: boolean | undefined
}

/** A part of what waits is at least so large: each part has a price of its own. */
const smallestPart = 16

export interface Batcher<Item, Result> {
  /** Resolves with the item's own result. After `close` it rejects with `E_CLOSED`. */
  add(item: Item): Promise<Result>
  /** Items that wait or are under way. */
  readonly size: number
  /** Resolves when nothing waits and nothing is under way. */
  idle(): Promise<void>
  /** Takes no more, and resolves when what was added has been answered. */
  close(): Promise<void>
}

interface Waiting<Item, Result> {
  readonly item: Item
  readonly resolve: (result: Result) => void
  readonly reject: (reason: unknown) => void
}

/**
 * Natural batching, without timers: one batch is in flight, and the next carries whatever gathered meanwhile. So an
 * idle system adds no latency, and a busy one pays one round trip for many. Items added in one tick go together.
 */
export function batcher<Item, Result>(options: BatcherOptions<Item, Result>): Batcher<Item, Result> {
  const maxWeight = options.maxWeight ?? Number.POSITIVE_INFINITY
  const weigh = options.weigh ?? ((): number => 0)
  const lines = options.lines ?? 1
  let waiting: Waiting<Item, Result>[] = []
  let itemsUnderWay = 0
  let batchesUnderWay = 0
  let pumping = false
  let rested = Promise.withResolvers<void>()
  rested.resolve()
  let closed = false

  function nextBatch(): Waiting<Item, Result>[] {
    const share = Math.ceil(waiting.length / (lines - batchesUnderWay))
    const most = Math.min(options.maxItems, Math.max(smallestPart, share))
    let weight = 0
    let count = 0
    for (const { item } of waiting) {
      weight += weigh(item)
      if (count === most || (count > 0 && weight > maxWeight)) break
      count++
    }
    const batch = waiting.slice(0, count)
    waiting = waiting.slice(count)
    return batch
  }

  async function send(batch: readonly Waiting<Item, Result>[]): Promise<void> {
    itemsUnderWay += batch.length
    batchesUnderWay += 1
    try {
      const results = await outside(() => options.run(batch.map(({ item }) => item)))
      if (results.length !== batch.length) {
        throw new ErrandError('E_LOG', `${batch.length} items were sent and ${results.length} answered`)
      }
      for (let index = 0; index < batch.length; index += 1) batch[index]?.resolve(results[index] as Result)
    } catch (error) {
      for (const { reject } of batch) reject(error)
    } finally {
      itemsUnderWay -= batch.length
      batchesUnderWay -= 1
    }
    pumpSoon()
  }

  /** A microtask later at least, so that everything added in this tick is in the first batch. */
  function pumpSoon(): void {
    if (pumping) return
    pumping = true
    if (options.late === true) setImmediate(pump)
    else queueMicrotask(pump)
  }

  function pump(): void {
    pumping = false
    while (waiting.length > 0 && batchesUnderWay < lines) void send(nextBatch())
    if (itemsUnderWay === 0) rested.resolve()
  }

  return {
    add(item) {
      if (closed) return Promise.reject(new ErrandError('E_CLOSED', 'nothing can be added: it is closed'))
      return new Promise<Result>((resolve, reject) => {
        if (waiting.length + itemsUnderWay === 0) rested = Promise.withResolvers()
        waiting.push({ item, resolve, reject })
        pumpSoon()
      })
    },
    get size() {
      return waiting.length + itemsUnderWay
    },
    idle: () => rested.promise,
    close() {
      closed = true
      return rested.promise
    },
  }
}
