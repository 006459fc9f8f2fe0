import { resolveConfig } from '../src/config/resolve.ts'
import type { Config } from '../src/define/config.ts'
import { errandOver } from '../src/errand.ts'
import type { Errand } from '../src/errand.ts'
import { createInstance } from '../src/instance.ts'
import type { Driver, DriverFactory } from '../src/ports/driver.ts'
import type { JobLog, LogFactory } from '../src/ports/job-log.ts'
import { memoryDriver, memoryLog, virtualClock } from '../src/testing.ts'
import type { VirtualClock } from '../src/testing.ts'
import { recordingLogger } from './recording-logger.ts'

export interface TestInstance extends AsyncDisposable {
  readonly errand: Errand
  readonly clock: VirtualClock
  readonly logger: ReturnType<typeof recordingLogger>
  /** The log and driver that the instance uses; they exist once it has connected. */
  readonly log: () => JobLog
  readonly driver: () => Driver
}

/** An instance on the reference log and driver, whose ports a test may wrap. */
export function testInstance(
  wrap: {
    readonly log?: (log: JobLog) => Partial<JobLog>
    readonly driver?: (driver: Driver) => Partial<Driver>
    readonly config?: Config
  } = {},
): TestInstance {
  const clock = virtualClock(Date.now())
  const logger = recordingLogger()
  let log: JobLog | undefined
  let driver: Driver | undefined
  const logs = memoryLog()
  const drivers = memoryDriver()
  const logFactory: LogFactory = {
    ...logs,
    open: (context) => {
      const inner = logs.open(context)
      return (log = { ...inner, ...wrap.log?.(inner) })
    },
  }
  const driverFactory: DriverFactory = {
    ...drivers,
    open: (context) => {
      const inner = drivers.open(context)
      return (driver = { ...inner, ...wrap.driver?.(inner) })
    },
  }
  const config = resolveConfig({ logger, log: logFactory, driver: driverFactory, ...wrap.config })
  const errand = errandOver(createInstance(config, clock))
  const opened = <T>(part: T | undefined): T => {
    if (part) return part
    throw new Error('the instance has not connected')
  }
  return {
    errand,
    clock,
    logger,
    log: () => opened(log),
    driver: () => opened(driver),
    [Symbol.asyncDispose]: () => errand.close(),
  }
}
