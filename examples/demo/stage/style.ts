import { styleText } from 'node:util'
import stringWidth from 'string-width'

type Format = Parameters<typeof styleText>[0]

/** Colours the text if the terminal can, and NO_COLOR is not set. Else the text as it is. */
export function paint(format: Format, text: string): string {
  return styleText(format, text, { stream: process.stdout })
}

/** Makes a text exactly this wide: cut with an ellipsis, or filled with spaces. Give it plain text, and paint afterwards. */
export function fit(text: string, columns: number): string {
  const width = stringWidth(text)
  if (width <= columns) return text + ' '.repeat(columns - width)
  let cut = ''
  for (const { segment } of graphemes.segment(text)) {
    if (stringWidth(cut + segment) > columns - 1) break
    cut += segment
  }
  return fit(`${cut}…`, columns)
}
const graphemes = new Intl.Segmenter()

export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}

export function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`
}

/** `a`, `a and b`, `a, b and c`. */
export function listed(items: readonly string[]): string {
  return new Intl.ListFormat('en-GB').format(items)
}
