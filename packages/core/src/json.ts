/** What JSON cannot carry, and where: `payload.files[2]` is a Date. */
export interface NotJson {
  readonly path: string
  readonly problem: string
}

const deepest = 500

/**
 * The value as JSON text, or the first place in it that would not come back as it went. Plain JSON.stringify drops
 * functions, turns NaN into null and a Map into {}: a job must not start with less than was dispatched.
 * @param root names the value in the path.
 */
export function toJson(value: unknown, root: string): { readonly text: string } | NotJson {
  try {
    const found = findNotJson(value, [])
    if (!found) return { text: JSON.stringify(value) }
    return { path: root + found.steps.toReversed().join(''), problem: found.problem }
  } catch (error) {
    // A getter or a Proxy of the user's own that throws.
    return { path: root, problem: `cannot be read (${error instanceof Error ? error.message : 'it throws'})` }
  }
}

/**
 * The first place where a schema has made a plain object of what is none: many take a Map, an Error or a Response for an
 * object without members.
 * @param kept what the schema gave, which JSON can carry.
 */
export function findEmptied(given: unknown, kept: unknown, root: string): NotJson | undefined {
  if (typeof given !== 'object' || given === null || typeof kept !== 'object' || kept === null)
    return undefined
  const kind = Array.isArray(given) ? undefined : nameKind(given)
  if (kind !== undefined && !kind.startsWith('value ')) return { path: root, problem: `is a ${kind}` }
  for (const [key, entry] of Object.entries(kept)) {
    const place = root + (Array.isArray(kept) ? `[${key}]` : step(key))
    const found = findEmptied(given[key as keyof typeof given], entry, place)
    if (found) return found
  }
  return undefined
}

/** JSON text with the members of every object in one order: equal values have equal texts. */
export function canonicalJson(text: string): string {
  return JSON.stringify(JSON.parse(text), (_, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  )
}

/** Compared as JSON, because one of them may come from a log. */
export function isSameJson(a: object, b: object): boolean {
  return canonicalJson(JSON.stringify(a)) === canonicalJson(JSON.stringify(b))
}

/** Steps from the place outwards: written down on the way back, so that a value that is all right costs none. */
interface Flaw {
  readonly problem: string
  readonly steps: string[]
}

const flaw = (problem: string): Flaw => ({ problem, steps: [] })

function findNotJson(value: unknown, parents: object[]): Flaw | undefined {
  if (typeof value === 'string' || typeof value === 'boolean' || value === null) return undefined
  if (typeof value === 'object') return findInObject(value, parents)
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : flaw(`is ${value}`)
  return flaw(value === undefined ? 'is undefined' : `is a ${typeof value}`)
}

function findInObject(value: object, parents: object[]): Flaw | undefined {
  if (parents.includes(value)) return flaw('contains itself')
  if (parents.length >= deepest) return flaw(`is nested more than ${deepest} deep`)
  if (!Array.isArray(value)) {
    const kind = nameKind(value)
    if (kind) return flaw(`is a ${kind}`)
  }
  if (Object.getOwnPropertySymbols(value).length > 0) return flaw('has a symbol as a key')
  parents.push(value)
  const inside = Array.isArray(value) ? findInList(value, parents) : findInMembers(value, parents)
  parents.pop()
  return inside
}

function findInList(value: readonly unknown[], parents: object[]): Flaw | undefined {
  // By index, so that holes are seen.
  for (let index = 0; index < value.length; index += 1) {
    const inside = findNotJson(value[index], parents)
    if (inside) {
      inside.steps.push(`[${index}]`)
      return inside
    }
  }
  return undefined
}

function findInMembers(value: object, parents: object[]): Flaw | undefined {
  for (const key of Object.keys(value)) {
    const entry: unknown = value[key as keyof typeof value]
    // An optional property that is absent and one that is undefined mean the same.
    const inside = entry === undefined ? undefined : findNotJson(entry, parents)
    if (inside) {
      inside.steps.push(step(key))
      return inside
    }
  }
  return undefined
}

/** The name of an object's kind, where JSON would not give back what it holds. */
function nameKind(value: object): string | undefined {
  const tag = Object.prototype.toString.call(value).slice('[object '.length, -1)
  if (tag !== 'Object') return tag
  if ('toJSON' in value && typeof value.toJSON === 'function') return 'value with toJSON()'
  const prototype: unknown = Object.getPrototypeOf(value)
  // Of any realm: what an object literal has is the end of its chain.
  if (prototype === null || Object.getPrototypeOf(prototype) === null) return undefined
  const { constructor } = value
  return `value of the class ${typeof constructor === 'function' ? constructor.name : '?'}`
}

function step(key: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`
}
