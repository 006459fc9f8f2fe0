import { randomUUID } from 'node:crypto'
import type { ResolvedConfig } from './config/resolve.ts'
import { createDispatcher } from './dispatch/dispatcher.ts'
import type { Dispatcher } from './dispatch/dispatcher.ts'
import { createPublisher } from './dispatch/publisher.ts'
import { ErrandError } from './errors.ts'
import { idMaker } from './ids.ts'
import { createEventWakeups } from './operate/event-wakeups.ts'
import { Closing } from './operate/closing.ts'
import type { Connection, OperateDeps } from './operate/connection.ts'
import { createSharedReader } from './operate/shared-reader.ts'
import { createJobWatch } from './operate/job-watch.ts'
import { outside } from './outside.ts'
import type { Clock } from './ports/clock.ts'
import { RoutedDriver } from './transfer/routed-driver.ts'
import type { LogFactory, LogRoles } from './ports/job-log.ts'
import type { Worker } from './define/worker.ts'
import type { WorkerDeps } from './worker/deps.ts'

/** The parts of one instance, opened together and closed together. */
export interface Instance extends OperateDeps {
  readonly dispatcher: Dispatcher
  migrate(options: {
    readonly restored?: boolean | undefined
  }): Promise<{ readonly from: number; readonly to: number }>
  grants(roles: LogRoles, options: { readonly apply: boolean }): Promise<string>
  /** What a worker half needs; the instance stops it when it closes. */
  workerDeps(workerId: string): Promise<WorkerDeps>
  keep(worker: Worker): void
  newWorkerId(): string
  close(): Promise<void>
}

interface Opened {
  readonly logFactory: LogFactory
  readonly connection: Omit<Connection, 'info'>
}

export function createInstance(config: ResolvedConfig, clock: Clock): Instance {
  const { settings, codec, logger } = config
  const closing = new Closing()
  const workers = new Set<Worker>()
  let opening: Promise<Opened> | undefined
  let connecting: Promise<Connection> | undefined
  let closed: Promise<void> | undefined

  // While it closes, running handlers and what was dispatched before still reach the log.
  let draining = false
  const isClosed = (): boolean => closing.signal.aborted && !draining

  async function open(): Promise<Opened> {
    const [logFactory, driverFactory] = await Promise.all([config.logFactory(), config.driverFactory()])
    const log = logFactory.open({ logger, clock, create: config.createLog })
    const driver = new RoutedDriver({
      configured: driverFactory,
      context: { log, logger, clock },
      factoryAt: (url) => config.driverAt(url),
    })
    const publisher = createPublisher({ driver, log, clock, logger, settings })
    let [place] = driver.places
    driver.onChange(() => {
      const [now] = driver.places
      if (now !== place) publisher.moved()
      place = now
    })
    const wakeups = createEventWakeups({ log, clock, logger })
    const watch = createJobWatch({ log, clock, wakeups, settings })
    const sharedReader = createSharedReader({ log, clock, wakeups, settings })
    return { logFactory, connection: { log, driver, route: driver, publisher, wakeups, sharedReader, watch } }
  }

  function opened(): Promise<Opened> {
    if (isClosed()) return Promise.reject(new ErrandError('E_CLOSED', 'this instance has been closed'))
    // A failure is not kept: the next use tries again, when the package is there or the server is up.
    opening ??= outside(open).catch((error: unknown) => {
      opening = undefined
      throw error
    })
    return opening
  }

  async function connect(): Promise<Connection> {
    const { connection } = await opened()
    const info = await connection.log.connect()
    await connection.route.follow(info.transfer)
    return { ...connection, info }
  }

  function connected(): Promise<Connection> {
    if (isClosed()) return Promise.reject(new ErrandError('E_CLOSED', 'this instance has been closed'))
    connecting ??= outside(connect).catch((error: unknown) => {
      connecting = undefined
      throw error
    })
    return connecting
  }

  const dispatcher = createDispatcher({
    settings,
    codec,
    clock,
    newId: idMaker(clock),
    // The look goes beside the append, so that the tickets of this job go to the right driver as a rule.
    connected: async () => {
      const connection = await connected()
      connection.route.look()
      return connection
    },
    publishing: async () => {
      const connection = await connected()
      await connection.route.looked()
      return connection
    },
  })

  async function close(): Promise<void> {
    draining = true
    closing.begin()
    await Promise.allSettled([...workers].map((worker) => worker.stop()))
    await dispatcher.close()
    draining = false
    const parts = await opening?.catch(() => undefined)
    if (!parts) return
    const { publisher, driver, log } = parts.connection
    await publisher.close()
    await driver.close()
    await log.close()
  }

  return {
    settings,
    codec,
    clock,
    logger,
    closing,
    driverAt: (url) => config.driverAt(url),
    connected,
    dispatcher,
    async migrate(options) {
      const { log } = (await opened()).connection
      return log.migrate(options)
    },
    async grants(roles, options) {
      const { log } = (await opened()).connection
      if (!log.grants) {
        throw new ErrandError(
          'E_OPTION',
          `the job log '${log.name}' has no roles; the permissions of its files decide who may read and write it`,
        )
      }
      return log.grants(roles, options)
    },
    async workerDeps(workerId) {
      const { logFactory, connection } = await opened()
      const { log, driver, route, publisher, watch } = connection
      return {
        workerId,
        log,
        logFactory,
        driver,
        route,
        codec,
        clock,
        logger,
        settings,
        publisher,
        recorded: (settlement, settled) => watch.recorded(settlement, settled),
        dispatch: (request, parent) => dispatcher.dispatch(request, parent),
        connect: async () => (await connected()).info,
      }
    },
    keep(worker) {
      workers.add(worker)
      const forget = (): void => void workers.delete(worker)
      worker.finished.then(forget, forget)
    },
    newWorkerId: () => randomUUID(),
    close: () => (closed ??= close()),
  }
}
