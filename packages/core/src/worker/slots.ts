/**
 * How many jobs of one pool run at a time. A slot is taken when a job is granted and given back when its handler has
 * really ended, or its grace is over.
 */
export class Slots {
  readonly size: number
  readonly #freed: (wereFull: boolean) => void
  #taken = 0

  /** @param freed is called after slots have been given back, and told whether jobs had taken all of them. */
  constructor(size: number, freed: (wereFull: boolean) => void) {
    this.size = size
    this.#freed = freed
  }

  get free(): number {
    return this.size - this.#taken
  }

  take(count: number): void {
    if (count > this.free) throw new RangeError(`${count} slots taken of ${this.free} free ones`)
    this.#taken += count
  }

  /** Of jobs that have ended. */
  give(count: number): void {
    this.#give(count, this.free === 0)
  }

  /** Of jobs that did not come. */
  giveUnused(count: number): void {
    this.#give(count, false)
  }

  #give(count: number, wereFull: boolean): void {
    if (count === 0) return
    this.#taken -= count
    this.#freed(wereFull)
  }
}
