import type { Ticket } from '../job/ticket.ts'
import type { Clock } from '../ports/clock.ts'

/** Of a transaction that takes longer the relay publishes the jobs. */
const keptMs = 5_000
const mostKept = 10_000

/** The tickets of jobs that were dispatched inside transactions whose end this instance does not see. */
export interface UncommittedTickets {
  add(tickets: readonly Ticket[]): void
  /** What may have been committed by now. */
  take(): readonly Ticket[]
}

/**
 * `wake()` does not say which transaction has committed, so every ticket is taken twice: the first time it may be that
 * of a neighbour which is still open, and then a ticket is refused as unknown. One too many is harmless.
 */
export function uncommittedTickets(clock: Clock): UncommittedTickets {
  let kept: { readonly ticket: Ticket; readonly atMs: number; taken: number }[] = []
  return {
    add(tickets) {
      const atMs = clock.monotonicMs()
      kept.push(...tickets.map((ticket) => ({ ticket, atMs, taken: 0 })))
      if (kept.length > mostKept) kept = kept.slice(-mostKept)
    },
    take() {
      const since = clock.monotonicMs() - keptMs
      const fresh = kept.filter(({ atMs }) => atMs >= since)
      for (const each of fresh) each.taken += 1
      kept = fresh.filter(({ taken }) => taken < 2)
      return fresh.map(({ ticket }) => ticket)
    },
  }
}
