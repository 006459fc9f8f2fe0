import { stripVTControlCharacters } from 'node:util'

const wide =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u
const zeroWidth = /^[\p{Mn}\p{Me}\p{Cf}]$/u

/** The columns that a text takes on a terminal. Colours take none. */
export function measureWidth(text: string): number {
  let width = 0
  for (const char of stripVTControlCharacters(text)) width += countColumns(char)
  return width
}

function countColumns(char: string): number {
  if (char < '\u0300') return 1
  if (zeroWidth.test(char)) return 0
  return wide.test(char) ? 2 : 1
}

/** Cuts a text to `width` columns, with `…` at the end. Only for text without colours. */
export function truncate(text: string, width: number): string {
  if (measureWidth(text) <= width) return text
  let kept = ''
  let used = 0
  for (const char of text) {
    used += countColumns(char)
    if (used > width - 1) break
    kept += char
  }
  return `${kept}…`
}

/**
 * Makes a text harmless for a terminal. Names, keys and messages come from everybody who may dispatch. A control
 * character in them could move the cursor or rewrite what an operator reads. One that turns the direction of text could
 * show it in another order. With `many`, line breaks and tabs stay.
 */
export function harmless(text: string, lines: 'one' | 'many' = 'one'): string {
  return text.replaceAll(/[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu, (char) => {
    if (char > '\u00ff') return `\\u${(char.codePointAt(0) ?? 0).toString(16)}`
    if (lines === 'many' && (char === '\n' || char === '\t')) return char
    if (char === '\n') return '⏎'
    return `\\x${(char.codePointAt(0) ?? 0).toString(16).padStart(2, '0')}`
  })
}

/** `1 job`, `2 jobs`, `12,000 jobs`. */
export function counted(count: number, noun: string): string {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`
}

/** Where a job waits at a limit: `mail-api/acme`, or `mail-api` if the limit has no keys. */
export function placeText(name: string, key: string | undefined): string {
  return key === undefined ? name : `${name}/${key}`
}
