/** A value of a column in an array parameter. Null if it does not apply. */
export type Cell = string | number | boolean | null | undefined

/**
 * PostgreSQL's literal of an array, as one text parameter, which every client library can send. Undefined if no cell
 * has a value, so that an unused column costs one null.
 */
export function arrayLiteral(cells: readonly Cell[]): string | null {
  let text = '{'
  let used = false
  for (let index = 0; index < cells.length; index++) {
    if (index > 0) text += ','
    const cell = cells[index]
    if (cell === null || cell === undefined) text += 'NULL'
    else {
      used = true
      text += typeof cell === 'string' ? quoted(cell) : String(cell)
    }
  }
  return used ? `${text}}` : null
}

const needsEscape = /["\\]/
const escapes = /["\\]/g

function quoted(text: string): string {
  return needsEscape.test(text) ? `"${text.replace(escapes, '\\$&')}"` : `"${text}"`
}

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
