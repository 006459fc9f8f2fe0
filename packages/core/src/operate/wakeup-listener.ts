import type { Clock } from '../ports/clock.ts'
import { waitFor } from '../wait.ts'

/** Waits until something may have happened. */
export class WakeupListener {
  readonly #clock: Clock
  readonly #signal: AbortSignal
  #pending = false
  #wake: (() => void) | undefined

  constructor(clock: Clock, signal: AbortSignal) {
    this.#clock = clock
    this.#signal = signal
  }

  wake(): void {
    this.#pending = true
    this.#wake?.()
  }

  /** Resolves if it was woken after the last call, after `atMostMs` if given, or when the signal aborts and the waker has noticed. */
  async woken(atMostMs?: number): Promise<void> {
    if (!this.#pending) {
      await waitFor<void>(undefined, undefined, (wake) => {
        this.#wake = wake
        return atMostMs === undefined ? undefined : this.#clock.after(atMostMs, wake)
      })
      this.#wake = undefined
    }
    this.#pending = this.#signal.aborted
  }
}
