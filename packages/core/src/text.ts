/** Bytes of UTF-8 that a message or a reason may have. */
const noteLimitBytes = 4_096
/** Bytes of UTF-8 that a name for people may have: of a worker, or of somebody who did something. */
export const personLimitBytes = 256

const mark = '…'

/**
 * A text for people, of which nothing depends: as every log can store it, without a NUL and without halves of surrogate
 * pairs, and cut with a mark where it is too long. One that is refused instead would stop whatever it is sent with.
 */
export function freeText(text: unknown, limitBytes: number = noteLimitBytes): string {
  const all = typeof text === 'string' ? text : read(text)
  // Of a huge text only so much is looked at. What replaces a character has more bytes, so it is cut last.
  const start = all.slice(0, limitBytes + 1)
  return cut(start.replaceAll('\0', '\uFFFD').toWellFormed(), limitBytes)
}

function cut(text: string, limitBytes: number): string {
  if (text.length * 3 <= limitBytes) return text
  if (text.length <= limitBytes && Buffer.byteLength(text) <= limitBytes) return text
  const room = new Uint8Array(limitBytes - Buffer.byteLength(mark))
  // It never takes half of a character.
  return text.slice(0, new TextEncoder().encodeInto(text.slice(0, limitBytes), room).read) + mark
}

function read(value: unknown): string {
  try {
    return String(value)
  } catch {
    return 'a value that cannot be read'
  }
}
