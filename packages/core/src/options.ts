import { ErrandError } from './errors.ts'

/**
 * Refuses options that nobody reads: a misspelt one would silently do nothing.
 * @throws `E_OPTION`, with the known option that the unknown one resembles.
 */
export function checkOptions(what: string, given: unknown, known: readonly string[]): void {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new ErrandError('E_OPTION', `${what} takes an object of options, not ${describe(given)}`)
  }
  for (const key of Object.keys(given)) {
    if (!known.includes(key)) {
      throw new ErrandError('E_OPTION', `${what} has no option "${key}"; ${didYouMean(key, known)}`)
    }
  }
}

/**
 * The parameters in the query of a URL. One that nobody reads is refused, and one that is given twice.
 * @param what `the URL of RabbitMQ`
 * @param query what stands behind the `?`; without one, nothing.
 * @throws `E_OPTION`, which shows no value: any of them may be a password.
 */
export function checkParameters<const Name extends string>(
  what: string,
  query: string | undefined,
  known: readonly Name[],
): Readonly<Partial<Record<Name, string>>> {
  const found: Partial<Record<string, string>> = {}
  for (const [name, value] of new URLSearchParams(query ?? '')) {
    if (!(known as readonly string[]).includes(name)) {
      // Behind a ? that belongs to a password stands the rest of the password.
      const shown = /^[\w.-]{1,60}$/.test(name)
        ? `no parameter "${name}"; ${didYouMean(name, known)}`
        : 'a parameter that is none; a ? in a user or a password is written %3F'
      throw new ErrandError('E_OPTION', `${what} has ${shown}`)
    }
    if (Object.hasOwn(found, name)) throw new ErrandError('E_OPTION', `${what} names ${name} twice`)
    found[name] = value
  }
  return found as Partial<Record<Name, string>>
}

/** @throws `E_OPTION` unless the value is true, false, or left out. */
export function checkFlag(what: string, value: unknown): void {
  if (value === undefined || typeof value === 'boolean') return
  throw new ErrandError('E_OPTION', `${what} is ${describe(value)}; use true or false`)
}

/** A parameter that is `true` or `false`. @throws `E_OPTION` */
export function parseFlag(what: string, text: string | undefined): boolean | undefined {
  if (text === undefined || text === 'true' || text === 'false')
    return text === undefined ? undefined : text === 'true'
  throw new ErrandError('E_OPTION', `${what} is ${describe(text)}; use true or false`)
}

/** @throws `E_OPTION` unless the value is one of those allowed. */
export function checkOneOf<T extends string>(what: string, value: unknown, allowed: readonly T[]): T {
  const found = allowed.find((each) => each === value)
  if (found !== undefined) return found
  const list = allowed.map((each) => `'${each}'`).join(', ')
  throw new ErrandError('E_OPTION', `${what} is ${describe(value)}; use one of ${list}`)
}

/** @throws `E_OPTION` unless the value is a whole number from `min` to `max`. */
export function checkInteger(what: string, value: unknown, min: number, max: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value
  throw new ErrandError('E_OPTION', `${what} is ${describe(value)}; use a whole number from ${min} to ${max}`)
}

/** @throws `E_OPTION` unless the value is a function. */
export function checkFunction(what: string, value: unknown): void {
  if (typeof value !== 'function') {
    throw new ErrandError('E_OPTION', `${what} is ${describe(value)}; it must be a function`)
  }
}

/** A value as a message may show it: its kind, never the contents of an object. */
export function describe(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'object') return 'an object'
  if (typeof value === 'function') return 'a function'
  if (typeof value === 'symbol') return 'a symbol'
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value)
  return `${value as number}`
}

/** For a name that nobody knows: the known one that it resembles, or all of them. */
export function didYouMean(name: string, known: readonly string[]): string {
  const near = nearest(name, known)
  if (near !== undefined) return `did you mean "${near}"?`
  return known.length === 0 ? 'it takes none' : `known: ${known.join(', ')}`
}

function nearest(word: string, known: readonly string[]): string | undefined {
  const scored = known.map((each) => ({
    each,
    distance: editDistance(word.toLowerCase(), each.toLowerCase()),
  }))
  const best = scored.toSorted((a, b) => a.distance - b.distance)[0]
  return best && best.distance <= Math.max(1, Math.floor(word.length / 2)) ? best.each : undefined
}

/** Levenshtein's distance, by one row. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replace = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replace, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? a.length
}
