/**
 * An abort signal that is made when it is asked for: most handlers never ask, and one for each job costs more than
 * their calls.
 */
export class LateSignal {
  #controller: AbortController | undefined
  #reason: Error | undefined

  /** Why it was aborted; the first reason stays. */
  get reason(): Error | undefined {
    return this.#reason
  }

  get signal(): AbortSignal {
    if (!this.#controller) {
      this.#controller = new AbortController()
      if (this.#reason) this.#controller.abort(this.#reason)
    }
    return this.#controller.signal
  }

  abort(reason: Error): void {
    this.#reason ??= reason
    this.#controller?.abort(reason)
  }

  throwIfAborted(): void {
    if (this.#reason) throw this.#reason
  }
}
