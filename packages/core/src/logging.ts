import { pino } from 'pino'
import { checkOneOf } from './options.ts'

/** What Errand logs to: pino's methods, so that any pino instance, or a child of one, fits. */
export interface Logger {
  debug(o: object, m?: string): void
  info(o: object, m?: string): void
  warn(o: object, m?: string): void
  error(o: object, m?: string): void
}

const levels = [...Object.keys(pino.levels.values), 'silent']

/** Pino to standard output, named `errand`, at the level of `ERRAND_LOG_LEVEL` (default `info`). @throws `E_OPTION` */
export function defaultLogger(env: NodeJS.ProcessEnv = process.env): Logger {
  const level = checkOneOf('ERRAND_LOG_LEVEL', env['ERRAND_LOG_LEVEL'] || 'info', levels)
  return pino({ name: 'errand', level })
}

/** A pino child where the logger can make one; else the same lines with the bindings in each. */
export function childLogger(logger: Logger, bindings: Readonly<Record<string, unknown>>): Logger {
  const makesChildren = logger as Logger & { child?(bindings: object): Logger }
  if (typeof makesChildren.child === 'function') return makesChildren.child(bindings)
  return {
    debug: (o, m) => logger.debug({ ...bindings, ...o }, m),
    info: (o, m) => logger.info({ ...bindings, ...o }, m),
    warn: (o, m) => logger.warn({ ...bindings, ...o }, m),
    error: (o, m) => logger.error({ ...bindings, ...o }, m),
  }
}

/**
 * The same logger, with credentials in URLs masked: errors of client libraries carry connection strings. Payloads and
 * results are never handed to a logger in the first place.
 */
export function maskingLogger(logger: Logger): Logger {
  return {
    debug: (o, m) => logger.debug(masked(o) as object, maskedMessage(m)),
    info: (o, m) => logger.info(masked(o) as object, maskedMessage(m)),
    warn: (o, m) => logger.warn(masked(o) as object, maskedMessage(m)),
    error: (o, m) => logger.error(masked(o) as object, maskedMessage(m)),
  }
}

/**
 * `amqp://user:secret@host` becomes `amqp://***@host`, and `password=secret` `password=***`, wherever in a text it stands.
 * In time that grows with the text and no faster: anybody may have written it.
 */
export function maskCredentials(text: string): string {
  return text.replaceAll(quotedPassword, '$1***').replaceAll(/[^\s"'<>]+/g, maskedWord)
}

/** As libpq has it in a connection string; without the quotes it is a word like others. */
const quotedPassword = /(\bpassword ?= ?)'[^']{0,500}'/gi
const parameter = /([?&;]|^)([\w.-]{1,60})=[^&;]*/g
const isSecret = /password|passwd|passphrase|pwd|secret|token|accesskey/i

function maskedWord(word: string): string {
  const scheme = word.indexOf('://')
  const at = word.lastIndexOf('@')
  // Stacks name the files of packages, with their versions behind an @.
  const isFile = word.slice(0, scheme).endsWith('file') && !word.includes('://', scheme + 1)
  const masked =
    scheme > 0 && at > scheme && !isFile
      ? `${word.slice(0, scheme + '://'.length)}***${word.slice(at)}`
      : word
  return masked.replaceAll(parameter, (whole, before: string, name: string) =>
    isSecret.test(name) ? `${before}${name}=***` : whole,
  )
}

function maskedMessage(message: string | undefined): string | undefined {
  return message === undefined ? undefined : maskCredentials(message)
}

const deepest = 5

function masked(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') return maskCredentials(value)
  if (typeof value !== 'object' || value === null) return value
  if (depth > deepest) return '[…]'
  if (value instanceof Error) return maskedError(value, depth)
  if (Array.isArray(value)) return value.map((each) => masked(each, depth + 1))
  // A URL, for one: what would be written of it is what must be masked.
  if ('toJSON' in value && typeof value.toJSON === 'function') return masked(value.toJSON(), depth + 1)
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, masked(each, depth + 1)]))
}

/** An error by what is safe to show: the properties that libraries hang on errors may hold a whole configuration. */
function maskedError(error: Error, depth: number): object {
  return {
    type: error.name,
    message: maskCredentials(error.message),
    ...(error.stack === undefined ? {} : { stack: maskCredentials(error.stack) }),
    ...('code' in error && typeof error.code === 'string' ? { code: error.code } : {}),
    ...(error.cause === undefined ? {} : { cause: masked(error.cause, depth + 1) }),
  }
}
