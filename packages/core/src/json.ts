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
    return findNotJson(value, root, []) ?? { text: JSON.stringify(value) }
  } catch (error) {
    // A getter or a Proxy of the user's own that throws.
    return { path: root, problem: `cannot be read (${error instanceof Error ? error.message : 'it throws'})` }
  }
}

function findNotJson(value: unknown, path: string, parents: readonly object[]): NotJson | undefined {
  if (typeof value === 'string' || typeof value === 'boolean' || value === null) return undefined
  if (typeof value === 'object') return findInObject(value, path, parents)
  if (typeof value === 'number') return Number.isFinite(value) ? undefined : { path, problem: `is ${value}` }
  return { path, problem: value === undefined ? 'is undefined' : `is a ${typeof value}` }
}

function findInObject(value: object, path: string, parents: readonly object[]): NotJson | undefined {
  if (parents.includes(value)) return { path, problem: 'contains itself' }
  if (parents.length >= deepest) return { path, problem: `is nested more than ${deepest} deep` }
  if (!Array.isArray(value)) {
    const kind = kindOf(value)
    if (kind) return { path, problem: `is a ${kind}` }
  }
  if (Object.getOwnPropertySymbols(value).length > 0) return { path, problem: 'has a symbol as a key' }
  const within = [...parents, value]
  if (Array.isArray(value)) {
    // By index, so that holes are seen.
    for (let index = 0; index < value.length; index += 1) {
      const found = findNotJson(value[index], `${path}[${index}]`, within)
      if (found) return found
    }
    return undefined
  }
  for (const [key, entry] of Object.entries(value)) {
    // An optional property that is absent and one that is undefined mean the same.
    const found = entry === undefined ? undefined : findNotJson(entry, join(path, key), within)
    if (found) return found
  }
  return undefined
}

/** The name of an object's kind, where JSON would not give back what it holds. */
function kindOf(value: object): string | undefined {
  const tag = Object.prototype.toString.call(value).slice('[object '.length, -1)
  if (tag !== 'Object') return tag
  return 'toJSON' in value && typeof value.toJSON === 'function' ? 'value with toJSON()' : undefined
}

function join(path: string, key: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(key) ? `${path}.${key}` : `${path}[${JSON.stringify(key)}]`
}
