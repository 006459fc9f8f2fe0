import type { Lane } from '../job/lane.ts'
import type { QueueName, Ticket } from '../job/ticket.ts'
import type { CallOptions } from '../ports/driver.ts'
import { encodeTickets } from './ticket-text.ts'

/** A message to send: one ticket, or several of one lane. */
export interface TicketMessage {
  readonly queue: QueueName
  readonly lane: Lane
  readonly tickets: readonly Ticket[]
  /** What to send. At most 12 kB. */
  readonly text: string
}

/** Ids of jobs are UUIDs. A ticket with a very different id gets its own message, so that no message becomes too long. */
const ordinaryId = /^[\x20-\x7e]{1,100}$/
const mostTickets = 50

/**
 * Puts tickets of one queue, lane and log into one message: as many as `ticketsPerMessage` allows, and at most 50. Keeps the
 * order of each lane. A message names a job once, so a ticket that is given twice goes into two messages.
 * @example packTickets(tickets, call?.ticketsPerMessage).map(({ text }) => client.send(text))
 */
export function packTickets(
  tickets: readonly Ticket[],
  ticketsPerMessage?: CallOptions['ticketsPerMessage'],
): TicketMessage[] {
  if (!ticketsPerMessage || tickets.length < 2) return tickets.map((ticket) => toMessage([ticket]))
  const lanes = Map.groupBy(tickets, ({ queue, lane, log }) => `${queue}\n${lane}\n${log}`)
  return [...lanes.values()].flatMap((ofLane) => packLane(ofLane, ticketsPerMessage))
}

function packLane(
  tickets: readonly Ticket[],
  ticketsPerMessage: NonNullable<CallOptions['ticketsPerMessage']>,
): TicketMessage[] {
  const [first] = tickets
  const allowed = first ? ticketsPerMessage(first.queue, tickets.length) : 1
  const most = Math.max(1, Math.min(mostTickets, Math.floor(allowed)))
  // Messages of even size: the worker that gets the last message must not get only a few tickets.
  const size = Math.ceil(tickets.length / Math.ceil(tickets.length / most))
  const messages: TicketMessage[] = []
  let open: Ticket[] = []
  const close = (): void => {
    const [ticket, ...others] = open
    if (ticket) messages.push(toMessage([ticket, ...others]))
    open = []
  }
  for (const ticket of tickets) {
    const fits = ordinaryId.test(ticket.id) && !open.some(({ id }) => id === ticket.id)
    if (!fits || open.length >= size) close()
    open.push(ticket)
    if (!ordinaryId.test(ticket.id)) close()
  }
  close()
  return messages
}

function toMessage(tickets: readonly [Ticket, ...Ticket[]]): TicketMessage {
  const [{ queue, lane }] = tickets
  return { queue, lane, tickets, text: encodeTickets(tickets) }
}
