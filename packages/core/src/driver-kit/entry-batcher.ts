import { batcher } from '../batching.ts'
import type { Batcher } from '../batching.ts'
import type { Clock } from '../ports/clock.ts'
import { backoffMs } from '../supervise.ts'

/** The broker's answer for one entry of a batch. `again`: it may succeed in another batch. */
export type EntryResult =
  | { readonly done: true }
  | { readonly done: false; readonly code: string; readonly message: string; readonly again: boolean }

export interface EntryBatcherOptions<Item> {
  /** Makes one request. Returns one result for each item, in their order. A throw rejects every item of the batch. */
  readonly run: (items: readonly Item[]) => Promise<readonly EntryResult[]>
  /** The largest batch that the broker takes. */
  readonly maxItems: number
  readonly clock: Clock
  /** How long an item of a batch that is not full waits for others. Default 0: until nothing is under way. */
  readonly gatherMs?: number | ((item: Item) => number) | undefined
}

interface Entry<Item> {
  readonly item: Item
  readonly tries: number
  readonly signal: AbortSignal | undefined
}

/** At most this many full batches are under way at once. */
const mostInFlight = 16
/** How often an entry is sent in all, if its request goes well and the broker refuses the entry for a passing reason. */
const mostTries = 4
const firstPauseMs = 100
const longestPauseMs = 5_000

/**
 * For a broker that takes entries in batches, and answers for each entry. Items that are added in one turn of the event loop
 * go together: full batches at once, and the rest when nothing is under way. So an idle system adds no latency, and a
 * busy one makes few requests. If a request goes well, entries that failed in it are repeated without their neighbours.
 */
export class EntryBatcher<Item> {
  readonly #options: EntryBatcherOptions<Item>
  readonly #batcher: Batcher<Entry<Item>, EntryResult>
  readonly #pauses = new Set<Promise<void>>()

  constructor(options: EntryBatcherOptions<Item>) {
    this.#options = options
    const { gatherMs = 0 } = options
    const ms = typeof gatherMs === 'number' ? () => gatherMs : gatherMs
    this.#batcher = batcher({
      run: (entries) => this.#run(entries),
      maxItems: options.maxItems,
      lines: mostInFlight,
      late: true,
      gather: { ms: ({ item }) => ms(item), clock: options.clock },
    })
  }

  /**
   * Resolves with the broker's last answer for the item; rejects when the whole request failed.
   * @param signal if it aborts before the item is in a request, the item is not sent, and the promise rejects with its reason.
   */
  add(item: Item, signal?: AbortSignal): Promise<EntryResult> {
    return this.#batcher.add({ item, tries: 1, signal })
  }

  /** Sends what has been added, without waiting for more. */
  flush(): void {
    this.#batcher.flush()
  }

  /** Flushes, and resolves when nothing waits and nothing is under way. */
  async idle(): Promise<void> {
    while (this.#batcher.size + this.#pauses.size > 0) {
      await this.#batcher.idle()
      await Promise.all(this.#pauses)
    }
  }

  async #run(entries: readonly Entry<Item>[]): Promise<readonly (EntryResult | Promise<EntryResult>)[]> {
    const wanted = entries.filter(({ signal }) => signal?.aborted !== true)
    const results = wanted.length === 0 ? [] : await this.#options.run(wanted.map(({ item }) => item))
    const byEntry = new Map(wanted.map((entry, index) => [entry, results[index] as EntryResult]))
    return entries.map((entry) => {
      const result = byEntry.get(entry)
      if (!result) return Promise.reject<EntryResult>(entry.signal?.reason as Error)
      return result.done || !result.again || entry.tries >= mostTries ? result : this.#repeat(entry)
    })
  }

  async #repeat(entry: Entry<Item>): Promise<EntryResult> {
    const pause = this.#options.clock.sleep(backoffMs(entry.tries, firstPauseMs, longestPauseMs))
    this.#pauses.add(pause)
    await pause
    this.#pauses.delete(pause)
    return this.#batcher.add({ ...entry, tries: entry.tries + 1 })
  }
}
