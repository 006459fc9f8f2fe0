interface Asked {
  /** Lower ones go first. */
  readonly order: number
  readonly read: () => unknown
  readonly resolve: (value: unknown) => void
  readonly reject: (reason: unknown) => void
}

/**
 * Gives a run what it remembers in the order in which that was completed: of what has been asked for, the earliest first, one
 * in each turn of the event loop, so that what follows from one has begun before the next. So a race ends in every run as
 * it ended in the first.
 */
export class Releases {
  #asked: Asked[] = []
  #isReleasing = false

  /** Whether something waits for its turn. */
  get isBusy(): boolean {
    return this.#isReleasing
  }

  /** @param read is called when its turn has come; the next one waits for it. */
  release<T>(order: number, read: () => T | Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#asked.push({ order, read, resolve: resolve as (value: unknown) => void, reject })
      if (!this.#isReleasing) void this.#releaseAll()
    })
  }

  async #releaseAll(): Promise<void> {
    this.#isReleasing = true
    await turn()
    for (let next = this.#first(); next; next = this.#first()) {
      this.#asked = this.#asked.filter((each) => each !== next)
      try {
        next.resolve(await next.read())
      } catch (error) {
        next.reject(error)
      }
      await turn()
    }
    this.#isReleasing = false
  }

  /** Of equal ones, the one that was asked for first. */
  #first(): Asked | undefined {
    let first: Asked | undefined
    for (const each of this.#asked) if (!first || each.order < first.order) first = each
    return first
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}
