/** A value of a column in an array parameter. Null if it does not apply. */
export type Cell = string | number | boolean | null | undefined

/**
 * PostgreSQL's literal of an array, as one text parameter, which every client library can send. Undefined if no cell
 * has a value, so that an unused column costs one null.
 */
export function arrayLiteral(cells: readonly Cell[]): string | null {
  if (cells.every(isEmpty)) return null
  // JSON quotes as a literal does, many times faster than code here can. Only control characters and halves of
  // surrogate pairs are written in another way.
  if (cells.every(isAlike)) return `{${JSON.stringify(cells).slice(1, -1)}}`
  return `{${cells.map((cell) => (typeof cell === 'string' ? quoted(cell) : String(cell ?? null))).join()}}`
}

const isEmpty = (cell: Cell): boolean => cell === null || cell === undefined

// oxlint-disable-next-line no-control-regex -- they are what it looks for
const control = /[\0-\x1f]/
const isAlike = (cell: Cell): boolean =>
  typeof cell === 'string'
    ? !control.test(cell) && cell.isWellFormed()
    : typeof cell !== 'number' || Number.isFinite(cell)

const escapes = /["\\]/g
const quoted = (text: string): string => `"${text.replace(escapes, '\\$&')}"`

/** The members of an object as JSON, without its braces: parts that SQL can join. Undefined ones are left out. */
export function jsonMembers(members: Readonly<Record<string, unknown>>): string | null {
  const text = JSON.stringify(members)
  return text === '{}' ? null : text.slice(1, -1)
}

/**
 * False for a NUL, which PostgreSQL refuses, and for half of a surrogate pair, which the protocol would silently
 * replace.
 */
export function isStorable(text: string): boolean {
  return !text.includes('\0') && text.isWellFormed()
}

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

/** Ids come from tickets, which may be forged. */
export function isUuid(text: string): boolean {
  return uuid.test(text)
}
