import { encryptingCodec } from '../codec/encrypting-codec.ts'
import { jsonCodec } from '../codec/json-codec.ts'
import type { Config } from '../define/config.ts'
import { durationMs } from '../duration.ts'
import { ErrandError } from '../errors.ts'
import { LateLogger } from '../default-logger.ts'
import { maskingLogger } from '../logging.ts'
import type { Logger } from '../logging.ts'
import { checkFlag, checkFunction, checkInteger, checkOptions, describe } from '../options.ts'
import type { Codec } from '../ports/codec.ts'
import type { DriverFactory } from '../ports/driver.ts'
import type { LogFactory } from '../ports/job-log.ts'
import { settingsDefaults } from './defaults.ts'
import type { Settings } from './defaults.ts'
import { urlIn } from './env-url.ts'
import { importPackage } from './packages.ts'
import { findProvider } from './providers.ts'
import type { Places } from './providers.ts'
import { parseScheme } from './scheme.ts'
import type { Kind } from './scheme.ts'

/** A configuration, checked, with every default applied. Packages are loaded only when the factories are asked for. */
export interface ResolvedConfig {
  readonly settings: Settings
  readonly codec: Codec
  readonly logger: Logger
  readonly createLog: boolean
  logFactory(): Promise<LogFactory>
  driverFactory(): Promise<DriverFactory>
  /** The driver of another address, which the log names: a URL, or `env:NAME`. */
  driverAt(url: string): Promise<DriverFactory>
}

/** From where the environment comes, and where packages are; given by tests. */
export interface Surroundings extends Places {
  readonly env: NodeJS.ProcessEnv
}

const known: readonly string[] = [
  'log',
  'driver',
  'worker',
  'publishWait',
  'payloadLimit',
  'resultLimit',
  'keep',
  'logger',
  'createLog',
  'encrypt',
]
const developmentLog = 'sqlite:./errand.db'
/** What a database can take in one value, with room for encryption. */
const largestBytes = 16 * 1_048_576

/** @throws `E_OPTION`, `E_DURATION`, `E_URL` */
export function checkConfig(config: Config): Settings {
  checkOptions('the configuration', config, known)
  checkPart('log', config.log)
  checkPart('driver', config.driver)
  if (config.worker !== undefined && typeof config.worker !== 'string') {
    throw new ErrandError('E_OPTION', `worker is ${describe(config.worker)}; use the path of its file`)
  }
  if (config.logger !== undefined) checkLogger(config.logger)
  checkFlag('createLog', config.createLog)
  chooseCodec(config)
  return resolveSettings(config)
}

/** @throws as `checkConfig`; the factories reject with `E_MISSING_LOG`, `E_URL`, `E_PACKAGE_MISSING` and `E_CONFIG`. */
export function resolveConfig(
  config: Config,
  surroundings: Surroundings = { env: process.env, folder: process.cwd() },
): ResolvedConfig {
  const settings = checkConfig(config)
  const chosen = config.logger ?? new LateLogger(surroundings.env)
  const logger = maskingLogger(chosen)
  // The environment is read on first use, so that a .env file may be loaded after the instance was made.
  return {
    settings,
    codec: chooseCodec(config),
    logger,
    createLog: config.createLog ?? true,
    logFactory: async () => {
      if (chosen instanceof LateLogger) await chosen.loaded()
      return loadFactory(config.log ?? readLogUrl(surroundings.env, logger), 'log', surroundings)
    },
    driverFactory: () =>
      loadFactory(config.driver ?? (surroundings.env['ERRAND_DRIVER'] || 'database'), 'driver', surroundings),
    driverAt: async (url) => loadFactory<DriverFactory>(urlIn(url, surroundings.env), 'driver', surroundings),
  }
}

function resolveSettings(config: Config): Settings {
  const { publishWait, payloadLimit, resultLimit, keep } = config
  if (keep !== undefined) checkOptions('keep', keep, ['succeeded', 'failed'])
  return Object.freeze({
    ...settingsDefaults,
    publishWaitMs: durationMs(publishWait ?? settingsDefaults.publishWaitMs, 'publishWait'),
    payloadLimitBytes: checkInteger(
      'payloadLimit',
      payloadLimit ?? settingsDefaults.payloadLimitBytes,
      1,
      largestBytes,
    ),
    resultLimitBytes: checkInteger(
      'resultLimit',
      resultLimit ?? settingsDefaults.resultLimitBytes,
      1,
      largestBytes,
    ),
    keepSucceededMs: durationMs(keep?.succeeded ?? settingsDefaults.keepSucceededMs, 'keep.succeeded'),
    keepFailedMs: durationMs(keep?.failed ?? settingsDefaults.keepFailedMs, 'keep.failed'),
  })
}

function chooseCodec(config: Config): Codec {
  if (config.encrypt === undefined) return jsonCodec
  checkOptions('encrypt', config.encrypt, ['keys'])
  return encryptingCodec(config.encrypt.keys)
}

function checkLogger(logger: Logger): void {
  for (const level of ['debug', 'info', 'warn', 'error'] as const)
    checkFunction(`logger.${level}`, logger[level])
}

function checkPart(kind: Kind, part: unknown): void {
  if (part === undefined || isFactory(part, kind)) return
  if (typeof part === 'string') {
    parseScheme(part, kind)
    return
  }
  throw new ErrandError(
    'E_OPTION',
    `${kind} is ${describe(part)}; use a URL, or what the function of a ${kind}'s package returned`,
  )
}

/** How the factories of each kind are marked. */
const marks = { log: 'job-log', driver: 'driver' } as const

function isFactory(part: unknown, kind: Kind): boolean {
  return (
    typeof part === 'object' &&
    part !== null &&
    'errand' in part &&
    part.errand === marks[kind] &&
    'open' in part &&
    typeof part.open === 'function'
  )
}

function readLogUrl(env: NodeJS.ProcessEnv, logger: Logger): string {
  const url = env['ERRAND_LOG']
  if (url) return url
  if (env['NODE_ENV'] === 'production') {
    throw new ErrandError(
      'E_MISSING_LOG',
      'no job log is configured, and NODE_ENV is production; set ERRAND_LOG (such as postgres://<user>:<password>@<host>/<database>) or the log of createErrand()',
    )
  }
  logger.info({ log: developmentLog }, 'no job log is configured: using a SQLite file, for development')
  return developmentLog
}

async function loadFactory<F extends LogFactory | DriverFactory>(
  part: string | F,
  kind: Kind,
  places: Places,
): Promise<F> {
  if (typeof part !== 'string') return part
  const provider = findProvider(parseScheme(part, kind), kind, places)
  const { fromUrl } = await importPackage(provider)
  if (typeof fromUrl !== 'function') {
    throw new ErrandError(
      'E_CONFIG',
      `${provider.name} does not export fromUrl(url); is it of another version?`,
    )
  }
  const factory: unknown = fromUrl(part)
  if (isFactory(factory, kind)) return factory as F
  throw new ErrandError('E_CONFIG', `fromUrl(url) of ${provider.name} did not return a ${marks[kind]}`)
}
