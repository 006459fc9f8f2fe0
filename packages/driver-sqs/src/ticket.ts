import { lanes } from '@errand/core/ports'
import type { Lane, Ticket } from '@errand/core/ports'

/** The body of the SQS message: about 100 bytes of JSON, in ASCII, because SQS does not take every character. */
export function encodeTicket({ id, queue, lane, log }: Ticket): string {
  return JSON.stringify({ id, queue, lane, log }).replaceAll(/[^\x20-\x7e]/g, escaped)
}

function escaped(unit: string): string {
  return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/** In characters: far longer than anything that Errand writes, and short enough to pass on. */
const longestText = 4_096

/** The ticket in a message's body; undefined when there is none. Anybody who may send can send anything. */
export function decodeTicket(body: string | undefined): Ticket | undefined {
  if (body === undefined) return undefined
  let value: unknown
  try {
    value = JSON.parse(body)
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  const { id, queue, lane, log } = value as Record<string, unknown>
  if (!isText(id) || id === '' || !isText(queue) || !isText(log) || !isLane(lane)) return undefined
  return { id, queue, lane, log }
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length <= longestText
}

function isLane(value: unknown): value is Lane {
  return lanes.some((lane) => lane === value)
}
