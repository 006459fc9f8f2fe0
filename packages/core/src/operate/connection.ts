import type { Settings } from '../config/defaults.ts'
import type { Publisher } from '../dispatch/publisher.ts'
import type { Logger } from '../logging.ts'
import type { Clock } from '../ports/clock.ts'
import type { Codec } from '../ports/codec.ts'
import type { Driver, DriverFactory } from '../ports/driver.ts'
import type { JobLog, LogInfo } from '../ports/job-log.ts'
import type { Closing } from './closing.ts'
import type { EventFeed } from './event-feed.ts'
import type { EventWakeups } from './event-wakeups.ts'
import type { JobWatch } from './job-watch.ts'
import type { Route } from '../transfer/route.ts'

/** A connected instance, as operators' functions need it. */
export interface Connection {
  readonly log: JobLog
  readonly driver: Driver
  readonly route: Route
  readonly publisher: Publisher
  readonly info: LogInfo
  readonly feed: EventFeed
  readonly watch: JobWatch
  readonly wakeups: EventWakeups
}

export interface OperateDeps {
  readonly settings: Settings
  readonly codec: Codec
  readonly clock: Clock
  readonly logger: Logger
  readonly closing: Closing
  /** The driver of another address. @throws `E_URL`, `E_CONFIG`, `E_PACKAGE_MISSING` */
  driverAt(url: string): Promise<DriverFactory>
  /** Connects on first use. */
  connected(): Promise<Connection>
  /** The log alone, for those who only read or note: the package of the driver need not be loaded, nor installed. */
  connectedLog(): Promise<JobLog>
}
