import type { Logger } from '@errand/core/ports'
import { paintFor } from './paint.ts'
import type { Style } from './paint.ts'
import { harmless } from './text.ts'
import { clock } from './times.ts'

type Level = 'debug' | 'info' | 'warn' | 'error'

const levels: readonly Level[] = ['debug', 'info', 'warn', 'error']
const styles: Readonly<Record<Level, Style>> = { debug: 'faint', info: 'strong', warn: 'warn', error: 'bad' }

/**
 * A logger for people: one line per entry, `12:03:04 warn  message  queue=media`.
 * @param least entries below this level are left out.
 * @param write gets one line, without its end.
 * @param hidden fields that are left out: those that are the same in every line.
 */
export function humanLogger(
  least: Level,
  write: (line: string) => void,
  hidden: readonly string[] = [],
): Logger {
  const paint = paintFor(process.stderr)
  const log = (level: Level, fields: object, message?: string): void => {
    if (levels.indexOf(level) < levels.indexOf(least)) return
    const { rest, text } = parts(fields, message, hidden)
    const time = paint('faint', clock(Date.now()))
    write(`${time} ${paint(styles[level], level.padEnd(5))} ${harmless(text)}${paint('faint', rest)}`)
  }
  return {
    debug: (fields, message) => log('debug', fields, message),
    info: (fields, message) => log('info', fields, message),
    warn: (fields, message) => log('warn', fields, message),
    error: (fields, message) => log('error', fields, message),
  }
}

/**
 * The same logger without the lines about the end of a run, for a caller that shows ends in another way. A job whose
 * run was lost is still logged, because no run here has ended.
 */
export function withoutEnds(logger: Logger): Logger {
  const unless =
    (log: (fields: object, message?: string) => void) =>
    (fields: object, message?: string): void => {
      if (!('outcome' in fields)) log(fields, message)
    }
  return {
    debug: unless((fields, message) => logger.debug(fields, message)),
    info: unless((fields, message) => logger.info(fields, message)),
    warn: unless((fields, message) => logger.warn(fields, message)),
    error: unless((fields, message) => logger.error(fields, message)),
  }
}

function parts(
  fields: object,
  message: string | undefined,
  hidden: readonly string[],
): { readonly text: string; readonly rest: string } {
  const shown = Object.entries(fields).filter(
    ([name, value]) => value !== undefined && !hidden.includes(name),
  )
  const rest = shown.map(([name, value]) => `  ${name}=${harmless(shortly(value))}`).join('')
  return { text: message ?? '', rest }
}

/** An error as its message and those of its causes. Anything else as JSON; text without quotes. */
function shortly(value: unknown): string {
  if (typeof value === 'string') return value
  if (typeof value === 'object' && value !== null && 'message' in value) {
    const cause = 'cause' in value && value.cause !== undefined ? ` ← ${shortly(value.cause)}` : ''
    return `${String(value.message)}${cause}`
  }
  return JSON.stringify(value) ?? String(value)
}
