import type { Settings } from '../config/defaults.ts'
import type { DispatchRequest, Parent, Receipt } from '../dispatch/request.ts'
import type { Publisher } from '../dispatch/publisher.ts'
import type { Logger } from '../logging.ts'
import type { Clock } from '../ports/clock.ts'
import type { Codec } from '../ports/codec.ts'
import type { Driver } from '../ports/driver.ts'
import type { JobLog, LogFactory, LogInfo } from '../ports/job-log.ts'
import type { JobWatch } from '../operate/job-watch.ts'
import type { Route } from '../transfer/route.ts'

/** The instance, as its worker half sees it. */
export interface WorkerDeps {
  /** A UUID, made by the instance so that `work()` can tell it before the worker half has loaded. */
  readonly workerId: string
  readonly log: JobLog
  /** For the heartbeat thread, which opens the log again. */
  readonly logFactory: LogFactory
  readonly driver: Driver
  readonly route: Route
  readonly codec: Codec
  readonly clock: Clock
  readonly logger: Logger
  readonly settings: Settings
  /** `ctx.dispatch`. */
  dispatch(request: DispatchRequest, parent?: Parent): Promise<Receipt<unknown>>
  readonly publisher: Publisher
  /** Tells those who wait in this process how a run ended. */
  readonly recorded: JobWatch['recorded']
  /** Connects the log, once for the whole instance. */
  connect(): Promise<LogInfo>
}
