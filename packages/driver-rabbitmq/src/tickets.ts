import { lanes } from '@errand/core/ports'
import type { Lane, Ticket } from '@errand/core/ports'

/** A ticket is about 100 bytes; what is far longer is not one, and is not worth parsing. */
const longestBytes = 16_384

/** The content of a message: JSON, so that an operator can read it, and write one by hand. */
export function encodeTicket({ id, queue, lane, log }: Ticket): Buffer {
  return Buffer.from(JSON.stringify({ id, queue, lane, log }))
}

export type Decoded =
  | { readonly ticket: Ticket; readonly why?: never }
  | { readonly ticket?: never; readonly why: string }

/**
 * Reads what came from the broker, where anybody who may write can put anything. Only the four known parts are looked
 * at, and only as properties of the object's own; what they say is for the log to judge. The reason never quotes the
 * content.
 */
export function decodeTicket(content: Buffer): Decoded {
  if (content.length > longestBytes) return { why: `${content.length} bytes, which no ticket has` }
  const value = parse(content)
  if (value === undefined) return { why: 'not JSON' }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return { why: 'not an object' }
  const id = own(value, 'id')
  const queue = own(value, 'queue')
  const lane = own(value, 'lane')
  const log = own(value, 'log')
  if (id === undefined || id === '') return { why: 'it has no id' }
  if (queue === undefined || log === undefined) return { why: 'it names no queue or no log' }
  if (lane === undefined || !isLane(lane)) return { why: 'its lane is unknown' }
  return { ticket: { id, queue, lane, log } }
}

function parse(content: Buffer): unknown {
  try {
    return JSON.parse(content.toString('utf8')) as unknown
  } catch {
    return undefined
  }
}

function own(value: object, key: string): string | undefined {
  const found: unknown = Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined
  return typeof found === 'string' ? found : undefined
}

function isLane(text: string): text is Lane {
  return (lanes as readonly string[]).includes(text)
}
