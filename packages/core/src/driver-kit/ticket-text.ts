import { lanes } from '../job/lane.ts'
import type { Lane } from '../job/lane.ts'
import type { Ticket } from '../job/ticket.ts'

/** A ticket is about 100 bytes, and a message of a hundred tickets about 4,000. Far longer text is not parsed. */
const longestText = 16_384
/** No build of Errand writes more tickets into one message. */
const mostTickets = 100
const utf8 = new TextDecoder()

/**
 * Writes the ticket as JSON, so that an operator can read it or write one by hand. In ASCII, because some brokers do not
 * accept every character.
 * @example encodeTicket(ticket) // '{"id":"0199…","queue":"media","lane":"high","log":"k3f9"}'
 */
export function encodeTicket(ticket: Ticket): string {
  return encodeTickets([ticket])
}

/**
 * Writes tickets of one queue, lane and log as one text: the first as a single ticket is written, and the ids of the others
 * in `more`. A build that does not know `more` reads the first ticket. Workers get the other jobs once they are overdue.
 */
export function encodeTickets([first, ...others]: readonly [Ticket, ...Ticket[]]): string {
  const { id, queue, lane, log } = first
  const more = others.length > 0 ? { more: others.map((ticket) => ticket.id) } : {}
  const text = JSON.stringify({ id, queue, lane, log, ...more })
  return /[^\x20-\x7e]/.test(text) ? text.replaceAll(/[^\x20-\x7e]/g, escapeUnit) : text
}

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/** The tickets of a message, or why its text holds none. The reason never quotes the text: it may hold anything. */
export type DecodedTickets =
  | { readonly tickets: readonly [Ticket, ...Ticket[]]; readonly why?: never }
  | { readonly tickets?: never; readonly why: string }

/**
 * Reads the text of a message. Never throws, because everybody who may write to the broker can write any text. It reads only
 * the five known parts, and only the object's own properties. The log decides whether the ticket is valid.
 */
export function decodeTickets(text: string | Uint8Array | undefined): DecodedTickets {
  if (text === undefined) return { why: 'it has no text' }
  if (text.length > longestText) return { why: `${text.length} bytes, which no ticket has` }
  const value = parse(text)
  if (value === undefined) return { why: 'not JSON' }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return { why: 'not an object' }
  const [id, queue, lane, log] = ['id', 'queue', 'lane', 'log'].map((key) => readText(value, key))
  if (id === undefined || id === '') return { why: 'it has no id' }
  if (queue === undefined || log === undefined) return { why: 'it names no queue or no log' }
  if (lane === undefined || !isLane(lane)) return { why: 'its lane is unknown' }
  const first = { id, queue, lane, log }
  const more = readOwn(value, 'more')
  if (more === undefined) return { tickets: [first] }
  if (!Array.isArray(more) || !more.every((each) => typeof each === 'string' && each !== ''))
    return { why: 'its further ids are no list of ids' }
  if (more.length >= mostTickets) return { why: `${more.length + 1} ids, which no message has` }
  if (new Set(more).add(id).size <= more.length) return { why: 'it has an id twice' }
  return { tickets: [first, ...(more as string[]).map((each) => ({ id: each, queue, lane, log }))] }
}

function parse(text: string | Uint8Array): unknown {
  try {
    return JSON.parse(typeof text === 'string' ? text : utf8.decode(text)) as unknown
  } catch {
    return undefined
  }
}

function readOwn(value: object, key: string): unknown {
  return Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined
}

function readText(value: object, key: string): string | undefined {
  const found = readOwn(value, key)
  return typeof found === 'string' ? found : undefined
}

function isLane(text: string): text is Lane {
  return (lanes as readonly string[]).includes(text)
}
