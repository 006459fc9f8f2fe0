import { waitFor } from '../../wait.ts'

/**
 * Whether jobs may be asked for. Each reason to wait shuts the gate. It opens when no reason is left, neither in it nor
 * in the outer gate: a queue's gate stands behind its worker's.
 */
export class PauseGate {
  readonly #behind: PauseGate | undefined
  readonly #reasons = new Map<string, string>()
  readonly #children = new Set<PauseGate>()
  #period = new AbortController()
  readonly #waiting = new Set<() => void>()

  constructor(behind?: PauseGate) {
    this.#behind = behind
  }

  /** From now on it follows the outer gate. */
  join(): void {
    if (this.#behind) this.#behind.#children.add(this)
    this.#changed()
  }

  /** The outer gate forgets it. */
  leave(): void {
    if (this.#behind) this.#behind.#children.delete(this)
  }

  get isOpen(): boolean {
    return this.#reasons.size === 0 && (this.#behind?.isOpen ?? true)
  }

  /** The oldest reason why it is shut, as text for people. */
  get why(): string | undefined {
    return this.#behind?.why ?? this.#reasons.values().next().value
  }

  /** Aborts when the gate is shut: for asks that were begun while it was open. */
  get signal(): AbortSignal {
    return this.#period.signal
  }

  has(reason: string): boolean {
    return this.#reasons.has(reason)
  }

  shut(reason: string, why: string): void {
    this.#reasons.set(reason, why)
    this.#changed()
  }

  clear(reason: string): void {
    if (this.#reasons.delete(reason)) this.#changed()
  }

  /** Resolves when the gate is open, or the signal has aborted. */
  async opened(signal: AbortSignal): Promise<void> {
    while (!this.isOpen && !signal.aborted) {
      await waitFor<void>(signal, undefined, (wake) => {
        this.#waiting.add(wake)
        return () => this.#waiting.delete(wake)
      })
    }
  }

  #changed(): void {
    if (this.isOpen) {
      if (this.#period.signal.aborted) this.#period = new AbortController()
      for (const wake of this.#waiting) wake()
    } else {
      this.#period.abort()
    }
    for (const child of this.#children) child.#changed()
  }
}
