import { isSecretName, maskCredentials } from '../masking.ts'
import { failureLimits } from './failure.ts'
import type { Failure, FailureField } from './failure.ts'
import { isErrorLike, read, toText } from './thrown.ts'

/**
 * Makes a Failure of any thrown value: errors of any realm with their causes and parts, and values that are no errors.
 * Never throws, even if the value throws when it is read.
 */
export function toFailure(thrown: unknown): Failure {
  return new Keeper().keep(thrown, [])
}

/** These are members of a Failure already, or of no use. */
const told: ReadonlySet<string> = new Set(['name', 'message', 'stack', 'code', 'cause', 'errors'])

/** What may still be stored of one error with its causes and parts. It shrinks until the limits are reached. */
class Keeper {
  #left: number = failureLimits.all
  #errors = 0

  keep(thrown: unknown, within: readonly unknown[]): Failure {
    this.#errors += 1
    if (!isErrorLike(thrown)) return { name: 'Error', message: this.#text(toText(thrown), 'message') }
    const code = this.#code(thrown)
    const fields = this.#fields(thrown)
    const stack = read(thrown, 'stack')
    // Texts come before causes and parts: the error itself matters most.
    const own = {
      name: this.#text(readName(thrown), 'name'),
      message: this.#text(readMessage(thrown), 'message'),
      ...(typeof stack === 'string' ? { stack: this.#text(stack, 'stack') } : {}),
      ...(code === undefined ? {} : { code }),
      ...(fields === undefined ? {} : { fields }),
    }
    const path = [...within, thrown]
    const cause = read(thrown, 'cause')
    const isCause = cause !== undefined && cause !== null
    const kept = isCause && this.#hasRoom(cause, path) ? this.keep(cause, path) : undefined
    const errors = this.#parts(readParts(thrown), path)
    return {
      ...own,
      ...(kept === undefined ? {} : { cause: kept }),
      ...(errors.length === 0 ? {} : { errors }),
    }
  }

  #parts(parts: readonly unknown[], path: readonly unknown[]): Failure[] {
    const errors: Failure[] = []
    for (const part of parts) {
      if (this.#hasRoom(part, path)) errors.push(this.keep(part, path))
      else if (this.#isFull(path)) break
    }
    const more = parts.length - errors.length
    // A part that contains the whole is stored with the whole.
    if (more > 0 && this.#isFull(path)) {
      errors.push({ name: 'Omitted', message: `${more} more ${more === 1 ? 'error' : 'errors'}` })
    }
    return errors
  }

  #hasRoom(thrown: unknown, path: readonly unknown[]): boolean {
    return !this.#isFull(path) && !path.includes(thrown)
  }

  #isFull(path: readonly unknown[]): boolean {
    const { errors, depth } = failureLimits
    return this.#errors >= errors || path.length >= depth || this.#left <= 0
  }

  #code(thrown: object): string | number | undefined {
    const code = read(thrown, 'code')
    if (typeof code === 'number') return storable(code)
    return typeof code === 'string' ? this.#text(code, 'field') : undefined
  }

  /** Its own plain values. Objects are left out: they may be a request with its headers, or a configuration. */
  #fields(thrown: object): Readonly<Record<string, FailureField>> | undefined {
    const fields: [string, FailureField][] = []
    for (const key of listKeys(thrown)) {
      if (fields.length >= failureLimits.fields) break
      if (told.has(key) || key.length > failureLimits.fieldName) continue
      const value = plain(read(thrown, key))
      if (value === undefined) continue
      if (typeof value !== 'string') fields.push([key, value])
      else fields.push([key, isSecretName(key) ? '***' : this.#text(value, 'field')])
    }
    return fields.length === 0 ? undefined : Object.fromEntries(fields)
  }

  #text(text: string, of: 'name' | 'message' | 'stack' | 'field'): string {
    const most = Math.max(0, Math.min(failureLimits[of], this.#left))
    // Mask before cutting: half of a URL looks like a word. Only this much of it is read.
    const masked = maskCredentials(text.slice(0, 2 * most))
    const kept = (
      masked.length <= most ? masked : `${masked.slice(0, Math.max(0, most - 1))}…`
    ).toWellFormed()
    this.#left -= kept.length
    return kept
  }
}

function readName(thrown: object): string {
  const name = read(thrown, 'name')
  return typeof name === 'string' && name !== '' ? name : 'Error'
}

function readMessage(thrown: object): string {
  const message = read(thrown, 'message')
  return message === undefined ? 'its message cannot be read' : toText(message)
}

function readParts(thrown: object): readonly unknown[] {
  const errors = read(thrown, 'errors')
  try {
    if (Array.isArray(errors)) return [...(errors as readonly unknown[])]
  } catch {
    return []
  }
  if (read(thrown, 'name') !== 'SuppressedError') return []
  return [read(thrown, 'error'), read(thrown, 'suppressed')]
}

function listKeys(thrown: object): readonly string[] {
  try {
    return Object.keys(thrown)
  } catch {
    return []
  }
}

function plain(value: unknown): FailureField | undefined {
  if (typeof value === 'bigint') return String(value)
  if (typeof value === 'number') return storable(value)
  return typeof value === 'string' || typeof value === 'boolean' || value === null ? value : undefined
}

/** JSON has no NaN and no infinity, and loses the sign of -0. */
function storable(value: number): number | string {
  return Number.isFinite(value) ? value + 0 : String(value)
}
