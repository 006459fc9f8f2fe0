import type { ResolvedConfig } from './config/resolve.ts'
import { crypto } from './crypto.ts'
import { createDispatcher } from './dispatch/dispatcher.ts'
import type { Dispatcher } from './dispatch/dispatcher.ts'
import { createPublisher } from './dispatch/publisher.ts'
import { ErrandError } from './errors.ts'
import { idMaker } from './ids.ts'
import { createEventWakeups } from './operate/event-wakeups.ts'
import { Closing } from './operate/closing.ts'
import type { Connection, OperateDeps } from './operate/connection.ts'
import { createEventFeed } from './operate/event-feed.ts'
import { createJobWatch } from './operate/job-watch.ts'
import { outside } from './outside.ts'
import type { Clock } from './ports/clock.ts'
import { RoutedDriver } from './transfer/routed-driver.ts'
import type { JobLog, LogFactory, LogRoles } from './ports/job-log.ts'
import type { Worker } from './define/worker.ts'
import type { WorkerDeps } from './worker/deps.ts'
import type { Waiting } from './worker/steps/waiting.ts'

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

interface OnFirstUse<T> {
  /** @throws `E_CLOSED`, and what its making throws */
  get(): Promise<T>
  madeSoFar(): Promise<T | undefined>
}

interface OpenedLog {
  readonly factory: LogFactory
  readonly log: JobLog
}

export function createInstance(config: ResolvedConfig, clock: Clock, waiting?: Waiting): Instance {
  const { settings, codec, logger } = config
  const closing = new Closing()
  const workers = new Set<Worker>()
  let closed: Promise<void> | undefined

  // While it closes, running handlers and what was dispatched before still reach the log.
  let draining = false
  const isClosed = (): boolean => closing.signal.aborted && !draining

  /** Made on first use. A failure is not kept: the next use tries again, when the package is there or the server is up. */
  function onFirstUse<T>(make: () => Promise<T>): OnFirstUse<T> {
    let made: Promise<T> | undefined
    return {
      get() {
        if (isClosed()) return Promise.reject(new ErrandError('E_CLOSED', 'this instance has been closed'))
        made ??= outside(make).catch((error: unknown) => {
          made = undefined
          throw error
        })
        return made
      },
      madeSoFar: async () => made?.catch(() => undefined),
    }
  }

  const openedLog = onFirstUse<OpenedLog>(async () => {
    const factory = await config.logFactory()
    return { factory, log: factory.open({ logger, clock, create: config.createLog }) }
  })

  const opened = onFirstUse<Omit<Connection, 'info'>>(async () => {
    // Both load at the same time. If both fail, the log's error is told: nothing works without it.
    const loading = config.driverFactory()
    loading.catch(() => undefined)
    const { log } = await openedLog.get()
    const driver = new RoutedDriver({
      configured: await loading,
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
    const feed = createEventFeed({ log, clock, wakeups, settings })
    return { log, driver, route: driver, publisher, feed, watch, wakeups }
  })

  const connectedLog = onFirstUse<Pick<Connection, 'log' | 'info'>>(async () => {
    const { log } = await openedLog.get()
    return { log, info: await log.connect() }
  })

  const connected = onFirstUse<Connection>(async () => {
    const connection = await opened.get()
    const { info } = await connectedLog.get()
    await connection.route.follow(info.transfer)
    return { ...connection, info }
  })

  const dispatcher = createDispatcher({
    settings,
    codec,
    clock,
    newId: idMaker(clock),
    // The look goes beside the append, so that the tickets of this job go to the right driver as a rule.
    connected: async () => {
      const connection = await connected.get()
      connection.route.look()
      return connection
    },
    publishing: async () => {
      const connection = await connected.get()
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
    const parts = await opened.madeSoFar()
    await parts?.publisher.close()
    await parts?.driver.close()
    await (await openedLog.madeSoFar())?.log.close()
  }

  return {
    settings,
    codec,
    clock,
    logger,
    closing,
    driverAt: (url) => config.driverAt(url),
    connected: () => connected.get(),
    connectedLog: async () => (await connectedLog.get()).log,
    dispatcher,
    async migrate(options) {
      const { log } = await openedLog.get()
      return log.migrate(options)
    },
    async grants(roles, options) {
      const { log } = await openedLog.get()
      if (!log.grants) {
        throw new ErrandError(
          'E_OPTION',
          `the job log '${log.name}' has no roles; the permissions of its files decide who may read and write it`,
        )
      }
      return log.grants(roles, options)
    },
    async workerDeps(workerId) {
      const { log, driver, route, publisher, watch } = await opened.get()
      const { factory: logFactory } = await openedLog.get()
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
        waiting,
        recorded: (settlement, settled) => watch.recorded(settlement, settled),
        dispatch: (request, parent) => dispatcher.dispatch(request, parent),
        dispatchFlow: (body, options, parent) => dispatcher.dispatchFlow(body, options, parent),
        addToFlow: (flow, requests, tx, parentOf) => dispatcher.addToFlow(flow, requests, tx, parentOf),
        connect: async () => (await connected.get()).info,
      }
    },
    keep(worker) {
      workers.add(worker)
      const forget = (): void => void workers.delete(worker)
      worker.finished.then(forget, forget)
    },
    // Short, because a log stores it with each claim.
    newWorkerId: () => crypto().randomUUID().replaceAll('-', '').slice(0, 16),
    close: () => (closed ??= close()),
  }
}
