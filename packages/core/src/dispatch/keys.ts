import { keyLimit, metaValueLimit, tagLimit } from '../config/defaults.ts'
import { ErrandError } from '../errors.ts'
import { checkOptions, describe } from '../options.ts'

/**
 * A key, tag or meta entry that every log can store and compare: text of 1 to 512 characters, without NUL and lone
 * surrogates.
 * @param what names it in the error; the value itself is shown only by its kind and length.
 * @throws `E_KEY`
 */
export function checkKey(what: string, key: unknown): string {
  if (typeof key !== 'string')
    throw new ErrandError('E_KEY', `${what} is ${describe(key)}; it must be a text`)
  if (key.length === 0) throw new ErrandError('E_KEY', `${what} is empty`)
  checkText(what, key, keyLimit)
  return key
}

function checkText(what: string, text: string, limit: number): void {
  if (text.length > limit) {
    throw new ErrandError('E_KEY', `${what} has ${text.length} characters; the limit is ${limit}`)
  }
  if (text.includes('\0'))
    throw new ErrandError('E_KEY', `${what} contains a NUL, which databases cannot store`)
  if (!text.isWellFormed()) {
    throw new ErrandError('E_KEY', `${what} contains half of a surrogate pair, which databases cannot store`)
  }
}

/** @throws `E_KEY`, also when the definition's function throws. */
export function keyFrom(what: string, key: (payload: unknown) => unknown, payload: unknown): string {
  return checkKey(`${what}(payload)`, called(what, key, payload))
}

const noTags: readonly string[] = Object.freeze([])
const noMeta: Readonly<Record<string, string>> = Object.freeze({})

/** The tags of the definition and those of the dispatch, each once. @throws `E_KEY` */
export function mergeTags(
  what: string,
  tags: ((payload: unknown) => unknown) | undefined,
  payload: unknown,
  more: unknown,
): readonly string[] {
  if (tags === undefined && more === undefined) return noTags
  const all = [...checkList(`${what} tags(payload)`, tags && called(`${what} tags`, tags, payload))]
  all.push(...checkList(`${what} tags`, more))
  const checked = [...new Set(all.map((tag) => checkKey(`a tag of ${what}`, tag)))]
  if (checked.length > tagLimit) {
    throw new ErrandError('E_KEY', `${what} has ${checked.length} tags; the limit is ${tagLimit}`)
  }
  return checked
}

function checkList(what: string, tags: unknown): readonly unknown[] {
  if (tags === undefined) return []
  if (Array.isArray(tags)) return tags
  throw new ErrandError('E_KEY', `${what} is ${describe(tags)}; it must be a list of texts`)
}

/** The parent's meta, with the dispatch's own over it. @throws `E_KEY` */
export function mergeMeta(
  what: string,
  meta: Readonly<Record<string, string>> | undefined,
  parent: Readonly<Record<string, string>> | undefined,
): Readonly<Record<string, string>> {
  if (meta === undefined) return parent ?? noMeta
  checkOptions(`meta of ${what}`, meta, Object.keys(meta))
  for (const [name, value] of Object.entries(meta)) {
    checkKey(`a meta name of ${what}`, name)
    if (typeof value !== 'string') {
      throw new ErrandError('E_KEY', `meta "${name}" of ${what} is ${describe(value)}; it must be a text`)
    }
    checkText(`meta "${name}" of ${what}`, value, metaValueLimit)
  }
  const all = { ...parent, ...meta }
  const count = Object.keys(all).length
  if (count > tagLimit) {
    throw new ErrandError('E_KEY', `${what} has ${count} meta entries; the limit is ${tagLimit}`)
  }
  return all
}

function called(what: string, of: (payload: unknown) => unknown, payload: unknown): unknown {
  try {
    return of(payload)
  } catch (error) {
    throw new ErrandError('E_KEY', `${what}(payload) threw`, { cause: error })
  }
}
