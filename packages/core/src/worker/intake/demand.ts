import type { Clock } from '../../ports/clock.ts'
import type { Allowance, Loan } from './allowance.ts'
import type { Seats } from './seats.ts'
import { Slots } from './slots.ts'
import { waitFor } from '../../wait.ts'

/** A feed's place in the line for the slots of its pool. */
export type Line = object

/** Leave to ask a subscription for at most `max` deliveries. */
export interface Ask {
  readonly max: number
  /** Aborts when another queue needs the slots, or the outer signal does. */
  readonly signal: AbortSignal
  /** Seats for the jobs that came, from the ask's own first. Jobs that were granted late may find none. */
  reserve(count: number): Seats
  /** The ask was answered with so many jobs. Those that run have taken their slots by then. */
  done(received: number): void
}

interface OpenAsk {
  /** How many free slots it asks for. */
  max: number
  readonly since: number
  readonly controller: AbortController
  /** Its loan from the worker's allowance, if there is one. */
  loan: Loan | undefined
}

interface Borrower {
  readonly max: number
  readonly loan: Loan | undefined
  readonly resolve: (seats: Seats) => void
}

interface Place {
  waiting: (() => void) | undefined
  open: OpenAsk | undefined
  /** Its last ask was answered with jobs. */
  busy: boolean
  turn: number
  /** Gave its slot to a busy queue; until then it does not take one from them. */
  restsUntil: number
}

/** How long an ask may hold slots without an answer while a busy queue waits for them. */
const busyTurnMs = 100
/** How long while only idle queues wait. An idle queue then leaves the slots to busy ones for as long. */
const idleTurnMs = 1_000

/**
 * Divides the free slots of a pool among its queues, and never gives out more than are free. Queues with jobs get most
 * of them. Idle queues get one each, in turns. A pool with one queue gives it all free slots.
 */
export class Demand {
  readonly slots: Slots
  readonly #clock: Clock
  readonly #places = new Set<Place>()
  readonly #allowance: Allowance | undefined
  #borrowers: Borrower[] = []
  #turns = 0
  #dealing = false
  #timer: (() => void) | undefined
  #roomSinceMs = Number.NEGATIVE_INFINITY

  /**
   * @param ahead whether brief jobs may be granted ahead of a slot.
   * @param allowance what the whole worker may still begin, if that is limited.
   */
  constructor(size: number, clock: Clock, ahead = false, allowance?: Allowance) {
    const freed = (wasFull: boolean): void => {
      if (wasFull) this.#roomSinceMs = clock.monotonicMs()
      this.#dealSoon()
    }
    this.slots = new Slots({ size, ahead, clock, freed, allowance })
    this.#clock = clock
    this.#allowance = allowance
  }

  /** How long there has been a free slot without a break. */
  get roomMs(): number {
    return this.slots.free === 0 ? 0 : this.#clock.monotonicMs() - this.#roomSinceMs
  }

  join(): Line {
    const place: Place = { waiting: undefined, open: undefined, busy: false, turn: 0, restsUntil: 0 }
    this.#places.add(place)
    return place
  }

  leave(line: Line): void {
    this.#places.delete(line as Place)
    this.#deal()
  }

  /** Waits for a free slot and its turn. Undefined when the signal aborts first. */
  async ask(line: Line, signal: AbortSignal): Promise<Ask | undefined> {
    const place = line as Place
    await waitFor<void>(signal, undefined, (wake) => {
      const forget = (): void => (place.waiting = undefined)
      place.waiting = () => {
        forget()
        wake()
      }
      this.#deal()
      return forget
    })
    const { open } = place
    if (!open) return undefined
    const ask = this.#handOut(place, open, signal)
    if (!this.#allowance) return ask
    const giveWay = (): void => open.controller.abort()
    open.loan = await this.#allowance.lend(open.max, ask.signal, giveWay)
    if (!open.loan) {
      ask.done(0)
      return undefined
    }
    open.max = open.loan.max
    return { ...ask, max: open.max }
  }

  #handOut(place: Place, open: OpenAsk, signal: AbortSignal): Ask {
    const abort = (): void => open.controller.abort()
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort)
    return {
      max: open.max,
      signal: open.controller.signal,
      reserve: (count) => {
        const seats = this.slots.reserve(count, open.loan)
        open.max = Math.max(0, open.max - seats.left)
        return seats
      },
      done: (received) => {
        if (place.open !== open) return
        signal.removeEventListener('abort', abort)
        const gaveWay = open.controller.signal.aborted && received === 0
        place.restsUntil = gaveWay ? this.#clock.monotonicMs() + idleTurnMs : 0
        place.busy = received > 0
        place.open = undefined
        open.loan?.done()
        this.#deal()
      },
    }
  }

  /**
   * Up to `max` free seats for jobs that come by another way than an ask. It goes first in the line and waits for one
   * free slot. No seats if the signal aborts first.
   */
  async borrow(max: number, signal: AbortSignal): Promise<Seats> {
    if (!this.#allowance) return this.#borrow(max, undefined, signal)
    const given = new AbortController()
    const loan = await this.#allowance.lend(max, signal, () => given.abort())
    if (!loan) return this.slots.reserve(0)
    try {
      return await this.#borrow(loan.max, loan, AbortSignal.any([signal, given.signal]))
    } finally {
      loan.done()
    }
  }

  async #borrow(max: number, loan: Loan | undefined, signal: AbortSignal): Promise<Seats> {
    const seats = this.tryBorrow(max, loan)
    if (seats.left > 0 || signal.aborted) return seats
    return waitFor(signal, seats, (resolve) => {
      const borrower: Borrower = { max, loan, resolve }
      this.#borrowers.push(borrower)
      return () => (this.#borrowers = this.#borrowers.filter((each) => each !== borrower))
    })
  }

  /** Like `borrow`, without waiting. */
  tryBorrow(max: number, loan?: Loan): Seats {
    return this.slots.reserve(this.slots.isStocked ? 0 : Math.min(max, this.slots.free), loan)
  }

  /** Call it after borrowed slots were filled. Asks that now ask for more than is free give way. */
  rebalance(): void {
    for (const place of this.#places) {
      if (this.#unasked() >= 0) return
      place.open?.controller.abort()
    }
  }

  /** Free slots that nobody asks for. Asks that have been told to give way still count. */
  #unasked(): number {
    let asked = 0
    for (const { open } of this.#places) asked += open?.max ?? 0
    return this.slots.free - asked
  }

  /**
   * One deal for all slots that become free in this turn of the event loop: one ask for ten is cheaper than ten for
   * one.
   */
  #dealSoon(): void {
    if (this.#dealing) return
    this.#dealing = true
    setImmediate(() => {
      this.#dealing = false
      this.#deal()
    })
  }

  #deal(): void {
    if (this.slots.isStocked) return
    while (this.slots.free > 0) {
      const borrower = this.#borrowers.shift()
      if (!borrower) break
      borrower.resolve(this.tryBorrow(borrower.max, borrower.loan))
    }
    const now = this.#clock.monotonicMs()
    const waiting = this.#inTurn(now)
    let busy = waiting.filter((place) => place.busy).length
    let idle = waiting.length - busy
    let free = this.#unasked()
    for (const place of waiting) {
      if (free <= 0) break
      const share = place.busy ? Math.max(1, Math.floor((free - idle) / busy)) : 1
      const max = this.#places.size === 1 ? free : share
      if (place.busy) busy -= 1
      else idle -= 1
      free -= max
      this.#open(place, max, now)
    }
    // Check again: a resting queue leaves its slots to busy ones that wait, and those may have theirs now.
    this.#makeRoom(this.#inTurn(now), now)
  }

  /** The waiting places. The one without a turn for the longest time is first. */
  #inTurn(now: number): Place[] {
    const waiting = [...this.#places].filter((place) => place.waiting)
    if (waiting.length < 2) return waiting
    const contested = waiting.some((place) => place.busy)
    return waiting
      .filter((place) => !contested || place.busy || place.restsUntil <= now)
      .toSorted((a, b) => a.turn - b.turn)
  }

  #open(place: Place, max: number, now: number): void {
    this.#turns += 1
    place.turn = this.#turns
    place.open = { max, since: now, controller: new AbortController(), loan: undefined }
    place.waiting?.()
  }

  /**
   * Ends the asks that have waited longest without a job, one for each waiting queue. If none may be ended yet, it
   * looks again when one may.
   */
  #makeRoom(waiting: readonly Place[], now: number): void {
    this.#timer?.()
    this.#timer = undefined
    const patienceMs = waiting.some((place) => place.busy) ? busyTurnMs : idleTurnMs
    const open = [...this.#places].flatMap((place) => place.open ?? [])
    const givingWay = open.filter((ask) => ask.controller.signal.aborted).length
    const idle = open.filter((ask) => !ask.controller.signal.aborted).toSorted((a, b) => a.since - b.since)
    for (const ask of idle.slice(0, Math.max(0, waiting.length - givingWay))) {
      const waitMs = ask.since + patienceMs - now
      if (waitMs > 0) {
        this.#timer = this.#clock.after(waitMs, () => this.#deal())
        return
      }
      ask.controller.abort()
    }
  }
}
