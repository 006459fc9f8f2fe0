import { publishWithin } from '../dispatch/publisher.ts'
import type { Ticket } from '../job/ticket.ts'
import type { OperateDeps } from './connection.ts'

/** Publishes what an operator's act has made ready, and tells followers of the act. */
export async function publishTickets(deps: OperateDeps, tickets: readonly Ticket[]): Promise<void> {
  const { log, publisher, route } = await deps.connected()
  route.look()
  void log.notify(['events']).catch(() => undefined)
  await publishWithin(publisher, tickets, deps.settings.publishWaitMs, deps.clock)
}
