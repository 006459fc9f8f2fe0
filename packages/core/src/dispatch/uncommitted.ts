import type { Ticket } from '../job/ticket.ts'
import type { Clock } from '../ports/clock.ts'

/** If a transaction takes longer, the relay publishes its jobs. */
const keptMs = 5_000
const mostKept = 10_000

/** The tickets of jobs that were dispatched inside transactions. This instance does not see the end of these transactions. */
export interface UncommittedTickets {
  add(tickets: readonly Ticket[]): void
  /** What may have been committed by now. */
  take(): readonly Ticket[]
}

/**
 * `wake()` does not say which transaction has committed, so every ticket is published twice. The first time its transaction
 * may still be open, and then the log refuses the ticket as unknown. One ticket too many does no harm.
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
