/** What must not go on when the instance closes. */
interface Closes {
  closed(): void
}

/** Reports that the instance closes, so that waiters for the log stop waiting. */
export class Closing {
  readonly #controller = new AbortController()
  readonly #waiting = new Set<Closes>()

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Not a signal's listeners: adding or removing one would search all of them. Here each costs the same. */
  add(one: Closes): void {
    if (this.signal.aborted) one.closed()
    else this.#waiting.add(one)
  }

  remove(one: Closes): void {
    this.#waiting.delete(one)
  }

  begin(): void {
    this.#controller.abort()
    for (const one of this.#waiting) one.closed()
    this.#waiting.clear()
  }
}
