import type { Ticket } from '../job/ticket.ts'
import type { CallOptions, PublishReport } from '../ports/driver.ts'
import { unlessAborted } from '../unless-aborted.ts'
import type { EntryResult } from './entry-batcher.ts'
import { packTickets } from './pack-tickets.ts'
import type { TicketMessage } from './pack-tickets.ts'

/**
 * Sends messages one by one, as an `EntryBatcher` takes them, and reports what is known of their tickets, at the latest when
 * the signal aborts. Requests that are under way then go on, because other publishes share them.
 * @param call `ticketsPerMessage` decides how many tickets a message has.
 * @throws what `send` threw, if it threw for every message: then nothing is known.
 */
export async function publishEach(
  tickets: readonly Ticket[],
  call: CallOptions | undefined,
  send: (message: TicketMessage) => Promise<EntryResult>,
): Promise<PublishReport> {
  const signal = call?.signal
  const accepted: Ticket[] = []
  const refused: { readonly ticket: Ticket; readonly why: string }[] = []
  let failure: { readonly error: unknown } | undefined
  const sent = packTickets(tickets, call?.ticketsPerMessage).map(async (message) => {
    try {
      const result = await send(message)
      if (result.done) accepted.push(...message.tickets)
      else {
        const why = result.message === '' ? result.code : `${result.code}: ${result.message}`
        refused.push(...message.tickets.map((ticket) => ({ ticket, why })))
      }
    } catch (error) {
      // If a publish was aborted, messages that it no longer sends are unknown, not failed.
      if (signal?.aborted !== true) failure ??= { error }
    }
  })
  await unlessAborted(Promise.all(sent), signal, () => undefined)
  if (failure && accepted.length + refused.length === 0) throw failure.error
  // Copies: later answers must not change the report.
  return { accepted: [...accepted], refused: [...refused] }
}
