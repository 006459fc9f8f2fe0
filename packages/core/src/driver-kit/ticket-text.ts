import { lanes } from '../job/lane.ts'
import type { Lane } from '../job/lane.ts'
import type { Ticket } from '../job/ticket.ts'

/** A ticket is about 100 bytes. Far longer text is not a ticket, and is not parsed. */
const longestText = 16_384
const utf8 = new TextDecoder()

/**
 * The ticket as JSON, so that an operator can read it, and write one by hand. In ASCII, because some brokers do not take
 * every character.
 * @example encodeTicket(ticket) // '{"id":"0199…","queue":"media","lane":"high","log":"k3f9"}'
 */
export function encodeTicket({ id, queue, lane, log }: Ticket): string {
  const text = JSON.stringify({ id, queue, lane, log })
  return /[^\x20-\x7e]/.test(text) ? text.replaceAll(/[^\x20-\x7e]/g, escapeUnit) : text
}

function escapeUnit(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/** A ticket, or why the text is not one. The reason never quotes the text: it may hold anything. */
export type DecodedTicket =
  | { readonly ticket: Ticket; readonly why?: never }
  | { readonly ticket?: never; readonly why: string }

/**
 * Reads the text of a message. Never throws: everybody who may write to the broker can put anything there. Only the four
 * known parts are read, and only the object's own properties; the log decides what they are worth.
 */
export function decodeTicket(text: string | Uint8Array | undefined): DecodedTicket {
  if (text === undefined) return { why: 'it has no text' }
  if (text.length > longestText) return { why: `${text.length} bytes, which no ticket has` }
  const value = parse(text)
  if (value === undefined) return { why: 'not JSON' }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return { why: 'not an object' }
  const [id, queue, lane, log] = ['id', 'queue', 'lane', 'log'].map((key) => readText(value, key))
  if (id === undefined || id === '') return { why: 'it has no id' }
  if (queue === undefined || log === undefined) return { why: 'it names no queue or no log' }
  if (lane === undefined || !isLane(lane)) return { why: 'its lane is unknown' }
  return { ticket: { id, queue, lane, log } }
}

function parse(text: string | Uint8Array): unknown {
  try {
    return JSON.parse(typeof text === 'string' ? text : utf8.decode(text)) as unknown
  } catch {
    return undefined
  }
}

function readText(value: object, key: string): string | undefined {
  const found: unknown = Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined
  return typeof found === 'string' ? found : undefined
}

function isLane(text: string): text is Lane {
  return (lanes as readonly string[]).includes(text)
}
