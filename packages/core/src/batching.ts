import { ErrandError } from './errors.ts'
import { outside } from './outside.ts'
import type { Clock } from './ports/clock.ts'

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
  /**
   * Where each batch has a price: a batch that is not full waits until none is under way, and each of its items at most `ms`
   * for others. Full ones go at once, each with `maxItems`. Default: all go at once.
   */
  readonly gather?: { readonly ms: (item: Item) => number; readonly clock: Clock } | undefined
}

/** A part of what waits is at least so large: each part has a price of its own. */
const smallestPart = 16

export interface Batcher<Item, Result> {
  /** Resolves with the item's own result. After `close` it rejects with `E_CLOSED`. */
  add(item: Item): Promise<Result>
  /** Items that wait or are under way. */
  readonly size: number
  /** Whether a batch is sent at the end of this turn of the event loop, or of the next. */
  readonly isAboutToSend: boolean
  /** What is there gathers no longer. */
  flush(): void
  /** Flushes, and resolves when nothing waits and nothing is under way. */
  idle(): Promise<void>
  /** Takes no more, and resolves when what was added has been answered. */
  close(): Promise<void>
}

interface Waiting<Item, Result> {
  readonly item: Item
  readonly dueMs: number
  readonly resolve: (result: Result) => void
  readonly reject: (reason: unknown) => void
}

/**
 * Natural batching, without timers: one batch is in flight, and the next carries what has gathered. So an
 * idle system adds no latency, and a busy one pays one round trip for many. Items added in one tick go together.
 */
export function batcher<Item, Result>(options: BatcherOptions<Item, Result>): Batcher<Item, Result> {
  const maxWeight = options.maxWeight ?? Number.POSITIVE_INFINITY
  const weigh = options.weigh ?? ((): number => 0)
  const { lines = 1, gather } = options
  let waiting: Waiting<Item, Result>[] = []
  let itemsUnderWay = 0
  let batchesUnderWay = 0
  let pumping = false
  let flushing = false
  let cancelTimer: (() => void) | undefined
  let rested = Promise.withResolvers<void>()
  let isAtRest = true
  rested.resolve()
  let closed = false

  function nextBatch(): Waiting<Item, Result>[] {
    const share = gather ? options.maxItems : Math.ceil(waiting.length / (lines - batchesUnderWay))
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
    while (waiting.length > 0 && batchesUnderWay < lines && isDue()) void send(nextBatch())
    if (waiting.length === 0) flushing = false
    if (waiting.length + itemsUnderWay > 0) return
    isAtRest = true
    rested.resolve()
  }

  /** Whether the next batch has gathered for long enough; if not, a timer asks again. */
  function isDue(): boolean {
    if (!gather || waiting.length >= options.maxItems) return true
    if (batchesUnderWay > 0) return false
    const dueMs = Math.min(...waiting.map((each) => each.dueMs))
    const waitMs = flushing ? 0 : dueMs - gather.clock.monotonicMs()
    if (waitMs <= 0) return true
    cancelTimer?.()
    cancelTimer = gather.clock.after(waitMs, pump)
    return false
  }

  function flush(): void {
    if (!gather || waiting.length === 0) return
    flushing = true
    pumpSoon()
  }

  return {
    add(item) {
      if (closed) return Promise.reject(new ErrandError('E_CLOSED', 'nothing can be added: it is closed'))
      return new Promise<Result>((resolve, reject) => {
        if (isAtRest) rested = Promise.withResolvers()
        isAtRest = false
        const dueMs = gather ? gather.clock.monotonicMs() + gather.ms(item) : 0
        waiting.push({ item, dueMs, resolve, reject })
        pumpSoon()
      })
    },
    get size() {
      return waiting.length + itemsUnderWay
    },
    get isAboutToSend() {
      return pumping && waiting.length > 0 && batchesUnderWay < lines
    },
    flush,
    idle() {
      flush()
      return rested.promise
    },
    close() {
      closed = true
      flush()
      return rested.promise
    },
  }
}
