import { inspect, types } from 'node:util'

/** A property of a thrown value; undefined if it cannot be read: a getter or a proxy may throw. */
export function read(thrown: object, key: string): unknown {
  try {
    return Reflect.get(thrown, key)
  } catch {
    return undefined
  }
}

/** An error, of any realm and any copy of a library. */
export function isError(thrown: unknown): boolean {
  if (types.isNativeError(thrown)) return true
  try {
    return thrown instanceof Error
  } catch {
    return false
  }
}

/** An error, or an object that looks like one: with a text as its message. */
export function isErrorLike(thrown: unknown): thrown is object {
  if (typeof thrown !== 'object' || thrown === null) return false
  return isError(thrown) || typeof read(thrown, 'message') === 'string'
}

const mostCauses = 100

/** The error, its cause, the cause of that, and so on; no error twice. */
export function listCauses(thrown: unknown): readonly object[] {
  const causes: object[] = []
  for (let at = thrown; isErrorLike(at) && !causes.includes(at); at = read(at, 'cause')) {
    causes.push(at)
    if (causes.length === mostCauses) break
  }
  return causes
}

/** Any value as text. It runs no code of the value, so cycles, getters and proxies do no harm. */
export function toText(value: unknown): string {
  if (typeof value === 'string') return value
  try {
    return inspect(value, {
      depth: 3,
      customInspect: false,
      getters: false,
      showProxy: false,
      maxArrayLength: 20,
      maxStringLength: 1_000,
      breakLength: Number.POSITIVE_INFINITY,
      compact: true,
    })
  } catch {
    return 'a value that cannot be read'
  }
}
