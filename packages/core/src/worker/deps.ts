import type { Settings } from '../config/defaults.ts'
import type { Dispatcher } from '../dispatch/dispatcher.ts'
import type { DispatchRequest, Parent, Receipt } from '../dispatch/request.ts'
import type { Publisher } from '../dispatch/publisher.ts'
import type { Logger } from '../logging.ts'
import type { Clock } from '../ports/clock.ts'
import type { Codec } from '../ports/codec.ts'
import type { Driver } from '../ports/driver.ts'
import type { JobLog, LogFactory, LogInfo } from '../ports/job-log.ts'
import type { JobWatch } from '../operate/job-watch.ts'
import type { Route } from '../transfer/route.ts'
import type { Waiting } from './steps/waiting.ts'

/** What a worker needs of its instance. */
export interface WorkerDeps {
  /** A UUID. The instance makes it, so that `work()` can return it before the worker's code is loaded. */
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
  readonly dispatchFlow: Dispatcher['dispatchFlow']
  readonly addToFlow: Dispatcher['addToFlow']
  readonly publisher: Publisher
  /** Undefined: by the clock. */
  readonly waiting: Waiting | undefined
  /** Tells waiters in this process how a run ended. */
  readonly recorded: JobWatch['recorded']
  /** Connects the log, once for the whole instance. */
  connect(): Promise<LogInfo>
}
