import type { Logger } from './logging.ts'
import { checkOneOf } from './options.ts'

const levels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const

/**
 * Pino, named `errand`, at the level of `ERRAND_LOG_LEVEL` (default `info`). To standard error: what a script writes to its
 * standard output is the script's own. A process that does nothing but work says `stdout`, where containers look.
 *
 * Loaded when it is asked for: a command, and an application that logs elsewhere, would spend a tenth of its start on it.
 * @throws `E_OPTION`
 */
export async function loadDefaultLogger(
  env: NodeJS.ProcessEnv = process.env,
  to: 'stderr' | 'stdout' = 'stderr',
): Promise<Logger> {
  const level = readLevel(env)
  const { pino } = await import('pino')
  const stream = pino.destination({ dest: to === 'stdout' ? 1 : 2, sync: true })
  // Until it cannot be written: pino would try for ever, and a full disk would stop the process.
  let isBroken = false
  stream.on('error', () => {
    isBroken = true
    stream.destroy()
  })
  const untilBroken = { write: (line: string): void => void (isBroken || stream.write(line)) }
  const logger: Logger = pino({ name: 'errand', level }, untilBroken)
  return logger
}

/** The default logger before it is loaded. Lines that come earlier are kept until then. */
export class LateLogger implements Logger {
  readonly #env: NodeJS.ProcessEnv
  #logger: Logger | undefined
  #loading: Promise<void> | undefined
  #kept: ((logger: Logger) => void)[] = []

  /** @throws `E_OPTION` */
  constructor(env: NodeJS.ProcessEnv) {
    readLevel(env)
    this.#env = env
  }

  /** Lines are written at once from here on, also the last ones of a process that ends itself. */
  loaded(): Promise<void> {
    this.#loading ??= this.#load()
    return this.#loading
  }

  async #load(): Promise<void> {
    const logger = await loadDefaultLogger(this.#env)
    this.#logger = logger
    for (const line of this.#kept.splice(0)) line(logger)
  }

  #write(line: (logger: Logger) => void): void {
    if (this.#logger) return line(this.#logger)
    this.#kept.push(line)
    void this.loaded()
  }

  debug(o: object, m?: string): void {
    this.#write((logger) => logger.debug(o, m))
  }

  info(o: object, m?: string): void {
    this.#write((logger) => logger.info(o, m))
  }

  warn(o: object, m?: string): void {
    this.#write((logger) => logger.warn(o, m))
  }

  error(o: object, m?: string): void {
    this.#write((logger) => logger.error(o, m))
  }

  /** As pino's: its keys are taken in each line. */
  bindings(): object {
    return { name: 'errand' }
  }
}

function readLevel(env: NodeJS.ProcessEnv): string {
  return checkOneOf('ERRAND_LOG_LEVEL', env['ERRAND_LOG_LEVEL'] || 'info', levels)
}
