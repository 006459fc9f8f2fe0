import type { Clock } from '@errand/core/ports'
import { batchSize } from './api.ts'
import type { Fate } from './api.ts'

export interface TensOptions {
  /** One request; one fate for each item, in their order. */
  readonly run: (items: readonly string[]) => Promise<readonly Fate[]>
  readonly clock: Clock
  /** How long an item that does not fill a ten may wait for others. Default 0: until nothing is under way. */
  readonly gatherMs?: number | undefined
}

interface Entry {
  readonly item: string
  readonly tries: number
  readonly addedMs: number
  readonly signal: AbortSignal | undefined
  readonly resolve: (fate: Fate) => void
  readonly reject: (reason: unknown) => void
}

/** So many full tens may be under way at once: SQS answers in some 10 ms, and ten tickets at a time would be 1,000 a second. */
const mostInFlight = 16
/** An entry that SQS refuses for reasons of its own, in a request that went well, is sent so often in all. */
const mostTries = 4
const firstWaitMs = 50

/**
 * Natural batches of ten: whatever was added in one turn of the event loop goes together, in full tens at once; what does
 * not fill a ten goes when nothing is under way, and otherwise gathers until then. So an idle system adds no latency, and
 * a busy one pays for a tenth of a request. Where nobody waits for the answer (`gatherMs`) what does not fill a ten waits
 * a little for others. Entries that fail in a request that went well are repeated alone.
 */
export class Tens {
  readonly #options: TensOptions
  #waiting: Entry[] = []
  #inFlight = 0
  #repeating = 0
  #isDueSoon = false
  #ripeAt: (() => void) | undefined
  #flushing = false
  #idle: (() => void)[] = []

  constructor(options: TensOptions) {
    this.#options = options
  }

  /**
   * Resolves with what SQS said of the item in the end; rejects when the whole request failed, or it never was in one.
   * @param signal by which `withdraw` knows the item.
   */
  add(item: string, signal?: AbortSignal): Promise<Fate> {
    return new Promise((resolve, reject) => {
      const addedMs = this.#options.clock.monotonicMs()
      this.#enqueue({ item, tries: 1, addedMs, signal, resolve, reject })
    })
  }

  /** What was added with this signal, which has aborted, and is in no request yet, will be in none. */
  withdraw(signal: AbortSignal): void {
    const withdrawn = this.#waiting.filter((entry) => entry.signal === signal)
    this.#waiting = this.#waiting.filter((entry) => entry.signal !== signal)
    for (const { reject } of withdrawn) reject(signal.reason)
    this.#pumpSoon()
  }

  /** What is there waits no longer for others. */
  flush(): void {
    this.#flushing = true
    this.#pumpSoon()
  }

  /** Flushes, and resolves when nothing waits and nothing is under way. */
  async idle(): Promise<void> {
    this.flush()
    while (!this.#isIdle) await new Promise<void>((resolve) => this.#idle.push(resolve))
  }

  get #isIdle(): boolean {
    return this.#waiting.length + this.#inFlight + this.#repeating === 0
  }

  #enqueue(entry: Entry): void {
    const { signal } = entry
    if (signal?.aborted) entry.reject(signal.reason)
    else this.#waiting.push(entry)
    this.#pumpSoon()
  }

  #pumpSoon(): void {
    if (this.#isDueSoon) return
    this.#isDueSoon = true
    setImmediate(() => {
      this.#isDueSoon = false
      this.#pump()
    })
  }

  #pump(): void {
    while (this.#waiting.length >= batchSize && this.#inFlight < mostInFlight) this.#start()
    if (this.#waiting.length > 0 && this.#inFlight === 0) this.#startWhenRipe()
    if (this.#waiting.length === 0) this.#flushing = false
    if (!this.#isIdle) return
    const idle = this.#idle
    this.#idle = []
    for (const resolve of idle) resolve()
  }

  #startWhenRipe(): void {
    this.#ripeAt?.()
    this.#ripeAt = undefined
    const { clock, gatherMs = 0 } = this.#options
    const waitMs = (this.#waiting[0]?.addedMs ?? 0) + gatherMs - clock.monotonicMs()
    if (waitMs <= 0 || this.#flushing) this.#start()
    else this.#ripeAt = clock.after(waitMs, () => this.#pump())
  }

  #start(): void {
    const batch = this.#waiting.splice(0, batchSize)
    this.#inFlight += 1
    void this.#send(batch).finally(() => {
      this.#inFlight -= 1
      this.#pump()
    })
  }

  async #send(batch: readonly Entry[]): Promise<void> {
    try {
      const fates = await this.#options.run(batch.map(({ item }) => item))
      for (const [index, entry] of batch.entries()) this.#settle(entry, fates[index] as Fate)
    } catch (error) {
      for (const { reject } of batch) reject(error)
    }
  }

  #settle(entry: Entry, fate: Fate): void {
    if (fate.done || !fate.again || entry.tries >= mostTries) entry.resolve(fate)
    else void this.#repeat(entry)
  }

  async #repeat(entry: Entry): Promise<void> {
    this.#repeating += 1
    await this.#options.clock.sleep(firstWaitMs * 2 ** (entry.tries - 1) * (0.5 + Math.random()))
    this.#repeating -= 1
    this.#enqueue({ ...entry, tries: entry.tries + 1 })
  }
}
