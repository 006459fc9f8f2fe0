import type { Clock } from '../../ports/clock.ts'
import type { Granted, Slot } from '../run/slot.ts'
import type { Allowance, Budget } from './allowance.ts'
import { Prefetched } from './prefetched.ts'
import { Seats } from './seats.ts'
import type { Room } from './seats.ts'

export interface SlotsOptions {
  /** How many jobs run at a time. */
  readonly size: number
  /** Whether brief jobs may be granted ahead of a slot. */
  readonly ahead: boolean
  readonly clock: Clock
  /** What the whole worker may still begin, where that is limited. */
  readonly allowance: Allowance | undefined
  /** Called after room has been given back, with whether jobs had taken all of it. */
  readonly freed: (wasFull: boolean) => void
}

/** A message has twice as many tickets as a worker takes at a time, and what it does not take in half a second goes back. */
const paceMs = 250
/** The weight of one run in the moving average. */
const paceWeight = 0.1

/**
 * The jobs of one pool: those that run, and those prefetched that run next. Room is reserved before a job is asked for, and
 * is free again when its handler has really ended, or its grace is over.
 */
export class Slots implements Room {
  readonly size: number
  readonly #prefetched: Prefetched
  readonly #freed: (wasFull: boolean) => void
  readonly #allowance: Allowance | undefined
  readonly #clock: Clock
  #taken = 0
  /** Handlers that did not end in time and go on without a slot. */
  #abandoned = 0
  #running = 0
  /** Slots of jobs that have ended and wait for the log. */
  #recording = 0
  /** Moving average of how long a job holds its slot. Undefined before the first one has ended. */
  #runMs: number | undefined
  /** Set while the next prefetched ones are about to begin: whether there was no room before. */
  #turn: { wasFull: boolean } | undefined

  constructor({ size, ahead, clock, freed, allowance }: SlotsOptions) {
    this.size = size
    // If the log is slow to record an end, it is as slow to take a job back, and that job would only run later.
    const isHeldUp = (): boolean => this.#recording > 0
    this.#prefetched = new Prefetched(size, ahead, clock, isHeldUp, (count) => this.giveUnused(count))
    this.#clock = clock
    this.#freed = freed
    this.#allowance = allowance
  }

  get free(): number {
    return Math.max(0, this.size + this.#prefetched.wanted - this.#taken)
  }

  /** Jobs that were granted and have no slot yet. */
  get prefetched(): number {
    return this.#prefetched.count
  }

  /** Enough jobs are prefetched: it is too early to ask for more. */
  get isStocked(): boolean {
    return this.#prefetched.isStocked
  }

  /** How many tickets it takes at a time; fewer, down to none, where it takes less than twice as many in half a second. */
  get takes(): number {
    return this.#runMs === undefined
      ? this.size
      : Math.min(this.size, Math.floor((this.size * paceMs) / this.#runMs))
  }

  /** How many outcomes may wait for the log before slots wait for them: those of two rounds. */
  get backlog(): number {
    return 2 * (this.size + this.#prefetched.wanted)
  }

  /**
   * Reserves up to `count` seats, as far as there is room, prefetched jobs included, and however many are wanted by
   * now.
   * @param budget where they are taken from, if the worker's runs are limited. Default: what nobody has been lent.
   */
  reserve(count: number, budget: Budget | undefined = this.#allowance): Seats {
    const room = Math.max(0, Math.min(count, this.size + this.#prefetched.most - this.#taken))
    const taken = budget === undefined ? room : budget.take(room)
    this.#taken += taken
    return new Seats(this, taken)
  }

  /** Begins a job that has a seat, now or when those before it have begun. */
  start(job: Granted): void {
    if (this.#running >= this.size || this.#prefetched.count > 0) this.#prefetched.put(job)
    else this.#beginOne(job)
  }

  /** Gives back the room of jobs that did not come, or did not begin. */
  giveUnused(count: number): void {
    if (count === 0) return
    this.#taken -= count
    this.#allowance?.giveBack(count)
    this.#freed(false)
  }

  #beginOne(job: Granted): void {
    this.#running += 1
    this.#allowance?.begin()
    job.begin(new PoolSlot(this, this.#clock.monotonicMs()))
  }

  /** A job that had its slot goes back unbegun. Its slot is given back like any other. */
  takeBack(): void {
    this.#allowance?.takeBack()
  }

  /** Frees the slot of a job that began at this time. */
  give(begunMs: number): void {
    const wasFull = this.free === 0
    const ranMs = this.#clock.monotonicMs() - begunMs
    this.#prefetched.ran(ranMs)
    this.#runMs = this.#runMs === undefined ? ranMs : this.#runMs + paceWeight * (ranMs - this.#runMs)
    this.#running -= 1
    this.#taken -= 1
    if (this.#prefetched.count > 0) this.#beginSoon(wasFull)
    else this.#freed(wasFull)
  }

  /** Keeps the slot of a job that has ended until the log has answered. */
  async untilRecorded<T>(recording: Promise<T>): Promise<T> {
    this.#recording += 1
    try {
      return await recording
    } finally {
      this.#recording -= 1
      this.#prefetched.moved()
    }
  }

  abandon(handler: Promise<unknown>): { readonly count: number; readonly isAll: boolean } {
    this.#abandoned += 1
    void handler.then(() => (this.#abandoned -= 1))
    return { count: this.#abandoned, isAll: this.#abandoned >= this.size }
  }

  /** Gives back what is prefetched, and what still comes without a slot. */
  close(): void {
    this.#prefetched.close()
  }

  /** In the next turn of the event loop, so that brief jobs do not block everything else. */
  #beginSoon(wasFull: boolean): void {
    if (this.#turn) {
      this.#turn.wasFull ||= wasFull
      return
    }
    this.#turn = { wasFull }
    setImmediate(() => this.#begin())
  }

  #begin(): void {
    const wasFull = this.#turn?.wasFull ?? false
    this.#turn = undefined
    for (let job; this.#running < this.size && (job = this.#prefetched.next());) this.#beginOne(job)
    this.#freed(wasFull)
  }
}

class PoolSlot implements Slot {
  readonly #slots: Slots
  readonly #begunMs: number
  #isTaken = true

  constructor(slots: Slots, begunMs: number) {
    this.#slots = slots
    this.#begunMs = begunMs
  }

  get backlog(): number {
    return this.#slots.backlog
  }

  get isTaken(): boolean {
    return this.#isTaken
  }

  giveBack(): void {
    if (!this.#isTaken) return
    this.#isTaken = false
    this.#slots.give(this.#begunMs)
  }

  giveBackUnbegun(): void {
    this.#slots.takeBack()
    this.giveBack()
  }

  untilRecorded<T>(recording: Promise<T>): Promise<T> {
    return this.#slots.untilRecorded(recording)
  }

  abandon(handler: Promise<unknown>): { readonly count: number; readonly isAll: boolean } {
    return this.#slots.abandon(handler)
  }
}
