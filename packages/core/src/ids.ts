import { crypto } from './crypto.ts'
import { ErrandError } from './errors.ts'
import { describe } from './options.ts'
import type { Clock } from './ports/clock.ts'

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i
const counterBits = 12

/** Any UUID, in lower case, as databases give it back. @throws `E_ID` */
export function checkId(id: unknown): string {
  if (typeof id === 'string' && uuid.test(id)) return id.toLowerCase()
  throw new ErrandError('E_ID', `${describe(id)} is not a job's id; use a UUID`)
}

/**
 * Makes UUIDs of version 7 (RFC 9562, section 5.7, with the counter of section 6.2, method 1): ids of one process sort
 * in the order in which they were made, so that a database appends to the end of its index.
 */
export function idMaker(clock: Clock): () => string {
  let lastMs = 0
  let counter = 0
  const tail = tailMaker()
  let prefix = ''
  return () => {
    const ms = Math.floor(clock.now())
    if (ms > lastMs) {
      lastMs = ms
      counter = 0
      prefix = formatTime(ms)
    } else {
      counter += 1
      // More ids than the counter holds, or a clock that was set back: borrow from the next millisecond.
      if (counter >> counterBits > 0) {
        lastMs += 1
        counter = 0
        prefix = formatTime(lastMs)
      }
    }
    return `${prefix}-${(0x7000 | counter).toString(16)}-${tail()}`
  }
}

/**
 * A UUID that follows from a digest (version 8: RFC 9562, section 5.8). Its first 48 bits, where version 7 has the time,
 * are those of another id, so that a database finds both at one place of its index.
 */
export function idBeside(other: string, digest: Buffer): string {
  const variant = (0x80 | ((digest[0] ?? 0) & 0x3f)).toString(16)
  const rest = digest.toString('hex', 1, 10)
  return `${other.slice(0, 13)}-8${rest.slice(0, 3)}-${variant}${rest.slice(3, 5)}-${rest.slice(5, 17)}`
}

/** A UUID that follows from a digest, among those that are made at a moment: milliseconds since the epoch. */
export function idOfMoment(atMs: number, digest: Buffer): string {
  return idBeside(formatTime(Math.max(0, Math.floor(atMs))), digest)
}

const tailBytes = 8
const tailsInOneDraw = 512

/** The random half of ids. Drawn for many at once: a draw costs as much for 4 KiB as for eight bytes. */
function tailMaker(): () => string {
  const pool = Buffer.alloc(tailBytes * tailsInOneDraw)
  let hex = ''
  let drawn = hex.length
  return () => {
    if (drawn === hex.length) {
      crypto().randomFillSync(pool)
      for (let at = 0; at < pool.length; at += tailBytes) pool[at] = ((pool[at] ?? 0) & 0x3f) | 0x80
      hex = pool.toString('hex')
      drawn = 0
    }
    const from = drawn
    drawn += 2 * tailBytes
    return `${hex.slice(from, from + 4)}-${hex.slice(from + 4, drawn)}`
  }
}

function formatTime(ms: number): string {
  const time = ms.toString(16).padStart(12, '0')
  return `${time.slice(0, 8)}-${time.slice(8)}`
}
