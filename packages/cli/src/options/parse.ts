import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { userInfo } from 'node:os'
import { pathToFileURL } from 'node:url'
import { durationMs, ErrandError, isErrandError } from '@errand/core/ports'
import type { Duration } from '@errand/core/ports'
import { InvalidArgumentError } from 'commander'
import { parseFaithfully } from './faithful-json.ts'

/** A path relative to where the command was started. The command may change its folder afterwards. */
export function path(value: string): string {
  return resolve(value)
}

/** A log's URL; the path of a SQLite file is relative to where the command was started. */
export function logUrl(value: string): string {
  const [, file] = /^sqlite:(?!\/)([^:].*)$/.exec(value) ?? []
  if (file === undefined) return value
  // Encoded as in a URL, because the folder may have a % or a # in its name. The text after `sqlite:` is encoded
  // already.
  return `sqlite:${pathToFileURL(process.cwd()).pathname}/${file}`
}

/** A driver's URL, or the environment variable that holds it. Core knows the schemes. */
export function driverUrl(value: string): string {
  if (/^(?:database|[a-z][a-z0-9+.-]*:.+)$/i.test(value)) return value
  throw new InvalidArgumentError("Use a URL, 'database', or env:NAME.")
}

function wholeNumber(value: string): number {
  const number = Number(value)
  if (/^\d+$/.test(value) && Number.isSafeInteger(number)) return number
  throw new InvalidArgumentError('Use a whole number.')
}

export function positiveNumber(value: string): number {
  const number = wholeNumber(value)
  if (number === 0) throw new InvalidArgumentError('Use a whole number from 1.')
  return number
}

export function duration(value: string): number {
  try {
    return durationMs(/^\d+$/.test(value) ? Number(value) : (value as Duration), 'it')
  } catch {
    throw new InvalidArgumentError('Use 500ms, 30s, 5m, 2h or 7d.')
  }
}

/** `100/1m`: so many in a time. */
export function rate(value: string): { readonly max: number; readonly per: number } {
  const [, max, per] = /^(\d+(?:\.\d+)?)\/(\d.*)$/.exec(value) ?? []
  try {
    const perMs = durationMs((per ?? '') as Duration, 'it')
    if (Number(max) > 0 && perMs > 0) return { max: Number(max), per: perMs }
  } catch {
    // The same answer as for all that is no rate.
  }
  throw new InvalidArgumentError('Use a number and a time, such as 100/1m.')
}

/** `none` stays as it is: commander makes a text of null. */
export function orNone<T>(parse: (value: string) => T): (value: string) => T | 'none' {
  return (value) => (value === 'none' ? value : parse(value))
}

/** A date, or a date and time: `2026-05-01` or `2026-05-01T12:00Z`. */
export function moment(value: string): Date {
  const date = new Date(value)
  if (Number.isNaN(date.getTime()) || /^\d+$/.test(value)) {
    throw new InvalidArgumentError('Use a date, such as 2026-05-01 or 2026-05-01T12:00Z.')
  }
  return date
}

/** A moment in the past: a date, or how long ago. */
export function past(value: string): Date {
  if (/^\d+(\.\d+)?(ms|s|m|h|d)$/.test(value)) return new Date(Date.now() - duration(value))
  try {
    return moment(value)
  } catch {
    throw new InvalidArgumentError('Use a date (2026-05-01T12:00Z), or how long ago (2h).')
  }
}

const sizes: Readonly<Record<string, number>> = { '': 1, k: 1_024, m: 1_024 ** 2, g: 1_024 ** 3 }

/** Bytes: `512mb`, `1gb`. */
export function bytes(value: string): number {
  const [, number, unit = ''] = /^(\d+(?:\.\d+)?)([kmg]?)(?:i?b)?$/i.exec(value) ?? []
  if (number === undefined) throw new InvalidArgumentError('Use a size, such as 512mb or 1gb.')
  return Math.round(Number(number) * (sizes[unit.toLowerCase()] ?? 1))
}

/** An option that may be given more than once, each time with one or more values separated by commas. */
export function list(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, ...value.split(',').filter((each) => each !== '')]
}

/** `name=value`, more than once. */
export function pairs(
  value: string,
  before: Readonly<Record<string, string>> = {},
): Readonly<Record<string, string>> {
  const at = value.indexOf('=')
  if (at < 1) throw new InvalidArgumentError('Use name=value.')
  return { ...before, [value.slice(0, at)]: value.slice(at + 1) }
}

/** `4`, or `media=4,*=10`. */
export function concurrency(value: string): number | Readonly<Record<string, number>> {
  if (!value.includes('=')) return positiveNumber(value)
  const slots = value.split(',').map((each) => {
    const [, queue, count] = /^(.+)=(\d+)$/.exec(each) ?? []
    if (queue === undefined || count === undefined) throw new InvalidArgumentError('Use 4, or media=4,*=10.')
    return [queue, positiveNumber(count)] as const
  })
  return Object.fromEntries(slots)
}

/**
 * JSON from the command line: the text itself, `@FILE`, or `-` for stdin. Undefined means no payload.
 * @throws `E_OPTION` if it is not JSON, or would not survive a round trip. The message never shows it.
 */
export async function json(value: string | undefined): Promise<unknown> {
  if (value === undefined) return undefined
  const source =
    value === '-'
      ? decoded(await buffer(process.stdin), 'the text on stdin')
      : value.startsWith('@')
        ? decoded(await fileBytes(value.slice(1)), `the payload's file ${value.slice(1)}`)
        : value
  try {
    return parseFaithfully(source)
  } catch (error) {
    if (isErrandError(error)) throw error
    throw new ErrandError(
      'E_OPTION',
      `the payload is not JSON; quote it for the shell ('{"file":"a.jpg"}'), or pass @FILE, or - for stdin`,
    )
  }
}

async function fileBytes(file: string): Promise<Buffer> {
  try {
    return await readFile(file)
  } catch (error) {
    throw new ErrandError('E_OPTION', `the payload's file ${file} cannot be read`, { cause: error })
  }
}

/** Text with or without a byte order mark. A shell of Windows writes UTF-16. */
function decoded(bytes: Buffer, what: string): string {
  const [first, second] = bytes
  const encoding =
    first === 0xff && second === 0xfe ? 'utf-16le' : first === 0xfe && second === 0xff ? 'utf-16be' : 'utf-8'
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes)
  } catch (error) {
    throw new ErrandError('E_OPTION', `${what} is not text in UTF-8`, { cause: error })
  }
}

/** Who did it: `--by`, else the user of the operating system. */
export function operator(by: string | undefined): string {
  if (by !== undefined) return by
  try {
    return userInfo().username
  } catch {
    // A container may run as a user without a name.
    return process.env['USER'] ?? 'errand'
  }
}
