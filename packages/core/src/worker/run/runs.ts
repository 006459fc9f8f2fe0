import type { Claim, Fence } from '../../job/claim.ts'
import { waitFor } from '../../wait.ts'

/** A run that this process has been granted, from the grant until its outcome is recorded. */
export interface Run {
  readonly claim: Claim
  /** Of its fence. */
  readonly key: string
  /** By the monotonic clock. A beat that was sent earlier cannot know of it. */
  readonly grantedMs: number
  /** Until when its handler may block the event loop. Undefined before it begins and after it has ended. */
  busyUntilMs: number | undefined
  /** Its handler has ended; its outcome is on the way to the log. */
  ended: boolean
  /** Aborts the handler's signal. */
  abort(reason: Error): void
  /** Stops waiting for its handler. */
  leaveBehind(): void
}

/** The runs of this process. The answers of beats are compared with them. */
export class Runs {
  readonly #runs = new Map<string, Run>()
  readonly #onBusy: (untilMs: number | undefined) => void
  /** Running handlers. */
  #busy = 0
  #latestMs: number | undefined
  readonly #waiting = new Set<() => void>()
  #asks = 0

  /** @param onBusy is told the latest deadline of the handlers that run. */
  constructor(onBusy: (untilMs: number | undefined) => void) {
    this.#onBusy = onBusy
  }

  get count(): number {
    return this.#runs.size
  }

  add(run: Run): void {
    this.#runs.set(run.key, run)
  }

  delete(run: Run): void {
    this.#runs.delete(run.key)
    this.#wake()
  }

  /** Asks for jobs that are under way. Each may still be answered with runs. */
  get asks(): number {
    return this.#asks
  }

  /** Counts an ask until it has been answered and what it brought has been added. */
  async asking<T>(ask: () => Promise<T>): Promise<T> {
    this.#asks += 1
    try {
      return await ask()
    } finally {
      this.#asks -= 1
      this.#wake()
    }
  }

  get(fence: Fence): Run | undefined {
    return this.#runs.get(toKey(fence))
  }

  [Symbol.iterator](): IterableIterator<Run> {
    return this.#runs.values()
  }

  /** Call it when the handler begins, and with undefined when it has ended. */
  busy(run: Run, untilMs: number | undefined): void {
    const before = run.busyUntilMs
    run.busyUntilMs = untilMs
    this.#busy += Number(untilMs !== undefined) - Number(before !== undefined)
    // Usually the newest run has the latest deadline, so looking at all of them is rare.
    if (untilMs !== undefined && untilMs >= (this.#latestMs ?? 0)) this.#latest(untilMs)
    else if (before === this.#latestMs) this.#latest(this.#busy > 0 ? this.#latestOfAll() : undefined)
  }

  /** Resolves when `done()` is true, or when the signal aborts. It asks `done()` each time a run or an ask is over. */
  async until(done: () => boolean, signal?: AbortSignal): Promise<void> {
    // oxlint-disable-next-line no-unmodified-loop-condition -- a signal changes by itself
    while (!done() && !signal?.aborted) {
      await waitFor<void>(signal, undefined, (wake) => {
        this.#waiting.add(wake)
        return () => this.#waiting.delete(wake)
      })
    }
  }

  #wake(): void {
    for (const wake of this.#waiting) wake()
  }

  #latestOfAll(): number | undefined {
    let latest: number | undefined
    for (const { busyUntilMs } of this.#runs.values()) {
      if (busyUntilMs !== undefined && busyUntilMs > (latest ?? 0)) latest = busyUntilMs
    }
    return latest
  }

  #latest(untilMs: number | undefined): void {
    if (untilMs === this.#latestMs) return
    this.#latestMs = untilMs
    this.#onBusy(untilMs)
  }
}

export function toKey({ id, run }: Fence): string {
  return `${id}:${run}`
}
