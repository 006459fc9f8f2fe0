import { listQueueTopics } from '../dispatch/publisher.ts'
import type { Publisher } from '../dispatch/publisher.ts'
import type { Ticket } from '../job/ticket.ts'
import type { JobLog } from '../ports/job-log.ts'

/** Wakes workers for jobs that their limits have let go, and publishes their tickets. */
export function publishAdmitted(log: JobLog, publisher: Publisher, tickets: readonly Ticket[]): void {
  if (tickets.length === 0) return
  // Waiters also poll.
  void log.notify(['events', ...listQueueTopics(tickets)]).catch(() => undefined)
  void publisher.publish(tickets, true)
}
