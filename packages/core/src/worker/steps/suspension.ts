/** Calls back once nothing has been begun for a while. Returns what cancels that. */
export type Quiet = (callback: () => void) => () => void

export interface SuspensionParts<W> {
  readonly quiet: Quiet
  /** The run is over, and waits for these. Called at most once. */
  readonly suspend: (waits: readonly W[]) => void
}

/**
 * Decides when a run suspends: when its handler awaits at least one wait, nothing that ends by itself is under way, and
 * nothing has been begun for a while. A wait that was begun and is not awaited is not enough: the handler may do other work
 * first.
 */
export class Suspension<W> {
  readonly #parts: SuspensionParts<W>
  readonly #open = new Set<W>()
  readonly #awaited = new Set<W>()
  #busy = 0
  #cancel: (() => void) | undefined
  #hurried = false
  #isOver = false

  constructor(parts: SuspensionParts<W>) {
    this.#parts = parts
  }

  /** Waits that have begun and are not over. */
  get open(): ReadonlySet<W> {
    return this.#open
  }

  /** The handler can go on only when a wait is over. */
  get onlyWaits(): boolean {
    return this.#busy === 0 && this.#awaited.size > 0
  }

  isAwaited(wait: W): boolean {
    return this.#awaited.has(wait)
  }

  /** Something is under way that ends by itself, such as a step. */
  begin(): void {
    this.#busy += 1
    this.#look()
  }

  end(): void {
    this.#busy -= 1
    this.#look()
  }

  wait(wait: W): void {
    this.#open.add(wait)
    this.#look()
  }

  /** The handler waits for it. */
  await(wait: W): void {
    if (!this.#open.has(wait)) return
    this.#awaited.add(wait)
    this.#look()
  }

  /** The wait has ended in this run: it could not be begun. */
  drop(wait: W): void {
    this.#open.delete(wait)
    this.#awaited.delete(wait)
    this.#look()
  }

  /** From now on it suspends as soon as it only waits: the worker stops. */
  hurry(): void {
    this.#hurried = true
    this.#look()
  }

  /** The run has ended in another way. */
  close(): void {
    this.#isOver = true
    this.#cancel?.()
    this.#cancel = undefined
  }

  #look(): void {
    this.#cancel?.()
    this.#cancel = undefined
    if (this.#isOver || !this.onlyWaits) return
    const suspend = (): void => {
      this.close()
      this.#parts.suspend([...this.#awaited])
    }
    this.#cancel = this.#hurried ? nextTurn(suspend) : this.#parts.quiet(suspend)
  }
}

/** What the handler does in this turn of the event loop still counts. */
const nextTurn: Quiet = (callback) => {
  const immediate = setImmediate(callback)
  return () => clearImmediate(immediate)
}
