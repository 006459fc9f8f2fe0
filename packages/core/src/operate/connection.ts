import type { Settings } from '../config/defaults.ts'
import type { Publisher } from '../dispatch/publisher.ts'
import type { Logger } from '../logging.ts'
import type { Clock } from '../ports/clock.ts'
import type { Codec } from '../ports/codec.ts'
import type { Driver, DriverFactory } from '../ports/driver.ts'
import type { JobLog, LogInfo } from '../ports/job-log.ts'
import type { Endings } from './endings.ts'
import type { Unfinished } from './unfinished.ts'
import type { Route } from '../transfer/route.ts'

/** A connected instance, as operators' functions need it. */
export interface Connection {
  readonly log: JobLog
  readonly driver: Driver
  readonly route: Route
  readonly publisher: Publisher
  readonly info: LogInfo
  readonly unfinished: Unfinished
  readonly endings: Endings
}

export interface OperateDeps {
  readonly settings: Settings
  readonly codec: Codec
  readonly clock: Clock
  readonly logger: Logger
  /** Aborts when the instance closes: whoever waits for the log stops waiting. */
  readonly closing: AbortSignal
  /** The driver of another address. @throws `E_URL`, `E_CONFIG`, `E_PACKAGE_MISSING` */
  driverAt(url: string): Promise<DriverFactory>
  /** Connects on first use. */
  connected(): Promise<Connection>
}
