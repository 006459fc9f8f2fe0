import type { Granted, SlotSource } from '../run/slot.ts'

/** Where the room comes from. */
export interface Room {
  /** Begins a job that has a seat. */
  start(job: Granted): void
  giveUnused(count: number): void
}

/**
 * Room that is reserved for jobs that are asked for. Each job that comes takes one seat. The end of the scope gives
 * back the rest: `using seats = demand.tryBorrow(10)`.
 */
export class Seats implements SlotSource, Disposable {
  readonly #room: Room
  #left: number

  constructor(room: Room, count: number) {
    this.#room = room
    this.#left = count
  }

  /** Seats that no job has taken. */
  get left(): number {
    return this.#left
  }

  start(job: Granted): boolean {
    if (this.#left === 0) return false
    this.#left -= 1
    this.#room.start(job)
    return true
  }

  /** Takes over the seats of others, because jobs that were asked for apart are granted together. */
  join(others: Iterable<Seats>): this {
    for (const other of others) {
      this.#left += other.#left
      other.#left = 0
    }
    return this
  }

  [Symbol.dispose](): void {
    const left = this.#left
    this.#left = 0
    this.#room.giveUnused(left)
  }
}
