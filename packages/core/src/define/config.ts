import type { Duration } from '../duration.ts'
import type { Logger } from '../logging.ts'
import type { DriverFactory } from '../ports/driver.ts'
import type { LogFactory } from '../ports/job-log.ts'
import { checkConfig } from '../config/resolve.ts'

/** Where jobs are recorded, and what moves them. Only this differs between environments. */
export interface Config {
  /**
   * The job log: a URL (`postgres://…`, `sqlite:./errand.db`) or what a package's function returned. Default: the
   * environment's `ERRAND_LOG`; else `sqlite:./errand.db`, or `E_MISSING_LOG` if NODE_ENV is production.
   */
  readonly log?: string | LogFactory | undefined
  /**
   * What moves tickets: a URL (`amqp://…`, `amqps://…`, `sqs://REGION`), `'database'`, or what a package's function
   * returned. Default: the environment's `ERRAND_DRIVER`; else `'database'`: the job log itself.
   */
  readonly driver?: string | DriverFactory | undefined
  /** The worker's file, beside this one, such as `'./worker.ts'`. A path, so that no bundler follows it; only `errand work` loads it. */
  readonly worker?: string | undefined
  /** How long `dispatch` waits for the broker's confirm, once the job is stored. Default 1 s. */
  readonly publishWait?: Duration | undefined
  /** Largest payload, in bytes of JSON. Default 1 MiB. */
  readonly payloadLimit?: number | undefined
  /** Largest result, in bytes of JSON. Default 64 KiB. */
  readonly resultLimit?: number | undefined
  /** How long finished jobs and their history are kept. Default 14 days, and 90 days for failed ones. */
  readonly keep?:
    | { readonly succeeded?: Duration | undefined; readonly failed?: Duration | undefined }
    | undefined
  /** Makes a missing SQLite job log on first use. `errand migrate` makes PostgreSQL's. Default true. */
  readonly createLog?: boolean | undefined
  /** Any pino instance. Default: pino to standard error (`errand work`: to standard output), at the level of `ERRAND_LOG_LEVEL` (`info`). */
  readonly logger?: Logger | undefined
  /**
   * Encrypts payloads, results and errors in the log (AES-256-GCM); names, keys and tags stay readable. Each key is 32
   * bytes in base64 (`openssl rand -base64 32`). The first one encrypts, all of them decrypt: to rotate, put a new one first.
   */
  readonly encrypt?: { readonly keys: readonly string[] } | undefined
}

/**
 * Checks a configuration and returns it; `errand.config.ts` exports it by default.
 * @throws `E_OPTION` for an unknown option or a wrong value, `E_DURATION`, `E_URL` for a URL that cannot be read.
 * @example export default defineConfig({ log: 'postgres://localhost/app', driver: 'amqp://localhost', worker: './worker.ts' })
 */
export function defineConfig(config: Config = {}): Config {
  checkConfig(config)
  return config
}
