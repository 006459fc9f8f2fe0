import { ErrandError } from '@errand/core/ports'

const token = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|[{}[\],:]|true|false|null/g

/** An object or a list that is being read, and the position in it. */
interface Open {
  readonly keys: Set<string> | undefined
  step: string
  index: number
}

/**
 * Parses JSON that survives a round trip. JSON.parse rounds numbers that a double cannot hold, turns others into
 * Infinity or 0, and keeps only the last of two entries with one name. A job must start with exactly what was written.
 * @throws `E_OPTION` with the place; SyntaxError if it is not JSON.
 */
export function parseFaithfully(text: string): unknown {
  const value: unknown = JSON.parse(text)
  const open: Open[] = []
  const refuse = (problem: string): never => {
    const place = open.map(({ step }) => step).join('')
    throw new ErrandError('E_OPTION', `payload${place} ${problem}`)
  }
  let expectsKey = false
  for (const [word] of text.matchAll(token)) {
    const inside = open.at(-1)
    if (word === '{' || word === '[') {
      open.push({ keys: word === '{' ? new Set() : undefined, step: word === '[' ? '[0]' : '', index: 0 })
      expectsKey = word === '{'
    } else if (word === '}' || word === ']') {
      open.pop()
      expectsKey = false
    } else if (word === ',' && inside) {
      expectsKey = inside.keys !== undefined
      inside.index += 1
      if (!expectsKey) inside.step = `[${inside.index}]`
    } else if (expectsKey && inside?.keys) {
      const key = JSON.parse(word) as string
      inside.step = /^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${word}]`
      if (inside.keys.has(key)) refuse('is there twice; only the last one would be kept')
      inside.keys.add(key)
      expectsKey = false
    } else if (
      /^[-\d]/.test(word) &&
      normalizeNumber(word) !== normalizeNumber(JSON.stringify(Number(word)))
    ) {
      const would = Number.isFinite(Number(word)) ? JSON.stringify(Number(word)) : 'no number'
      refuse(`is ${shortened(word)}, which would become ${would}; write it as a text, in quotes`)
    }
  }
  return value
}

/** Digits and exponent of a number, the same for each way to write it: 1.50e1 and 15 are equal. */
function normalizeNumber(number: string): string {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(number) ?? []
  const digits = `${whole}${fraction}`.replace(/^0+/, '')
  const significant = digits.replace(/0+$/, '')
  if (significant === '') return `${sign}0`
  const scale = BigInt(exponent) - BigInt(fraction.length) + BigInt(digits.length - significant.length)
  return `${sign}${significant}e${scale}`
}

function shortened(word: string): string {
  return word.length > 40 ? `${word.slice(0, 40)}…` : word
}
