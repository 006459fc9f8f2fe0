import type { Clock } from '../ports/clock.ts'

/** One who waits until something may have happened. */
export class Ear {
  readonly #clock: Clock
  readonly #signal: AbortSignal
  #pending = false
  #wake: (() => void) | undefined

  constructor(clock: Clock, signal: AbortSignal) {
    this.#clock = clock
    this.#signal = signal
  }

  ring(): void {
    this.#pending = true
    this.#wake?.()
  }

  /** Resolves when it was rung since the last call, or after `atMostMs`, or when the signal aborts and who rings has heard. */
  async rung(atMostMs: number): Promise<void> {
    if (!this.#pending) {
      await new Promise<void>((resolve) => {
        const cancel = this.#clock.after(atMostMs, resolve)
        this.#wake = () => {
          cancel()
          resolve()
        }
      })
      this.#wake = undefined
    }
    this.#pending = this.#signal.aborted
  }
}
