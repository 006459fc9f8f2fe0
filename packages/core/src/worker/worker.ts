import { workerDefaults } from '../config/defaults.ts'
import { callFactory, noneEnded, resolveWorker } from '../define/worker.ts'
import type { Worker, WorkerHealth, WorkerSource, WorkOptions } from '../define/worker.ts'
import { durationMs } from '../duration.ts'
import type { Duration } from '../duration.ts'
import { ErrandError, shutdownError, toError } from '../errors.ts'
import { childLogger } from '../logging.ts'
import { checkQueueName } from '../names.ts'
import { checkOptions } from '../options.ts'
import type { BeatReply, Topic } from '../ports/job-log.ts'
import { supervised } from '../supervise.ts'
import { Allowance } from './intake/allowance.ts'
import { assemble } from './assemble.ts'
import type { Parts } from './assemble.ts'
import type { WorkerDeps } from './deps.ts'
import { PauseGate } from './intake/pause-gate.ts'
import { shutDown, stopUsers, waitFor } from './shutdown.ts'
import type { Shutdown } from './shutdown.ts'
import { exit, onSignals } from './signals.ts'

/**
 * Starts a worker and returns at once. `ready` and `finished` tell the rest.
 * @throws `E_NAME` for an invalid queue name.
 */
export function startWorker(source: WorkerSource, options: WorkOptions, deps: WorkerDeps): Worker {
  for (const queue of options.queues ?? []) checkQueueName(queue)
  const logger = childLogger(deps.logger, { worker: deps.workerId })
  const running = new RunningWorker(source, options, { ...deps, logger })
  running.start()
  return running
}

const listenMinMs = 200
const listenMaxMs = 10_000

class RunningWorker implements Worker {
  readonly id: string
  readonly #source: WorkerSource
  readonly #options: WorkOptions
  readonly #deps: WorkerDeps
  readonly #gate = new PauseGate()
  readonly #ready = Promise.withResolvers<void>()
  readonly #finished = Promise.withResolvers<void>()
  /** Resolves when the parts exist, or when it is certain that they never will. */
  readonly #assembled = Promise.withResolvers<void>()
  readonly #stopping = new AbortController()
  readonly #feedsStop = new AbortController()
  readonly #relayStop = new AbortController()
  readonly #hurry = new AbortController()
  readonly #allowance: Allowance | undefined
  #parts: Parts | undefined
  #loops: { readonly feeds: Promise<unknown>; readonly relay: Promise<unknown> } | undefined
  #stopped: Promise<Shutdown> | undefined
  #failure: Error | undefined
  /** Whether any queue is subscribed. Undefined until each was tried. */
  #isServed: boolean | undefined
  #signalled = false
  /** It has stopped, though its factory may go on. */
  #ended = false
  #forgetSignals: (() => void) | undefined
  #forgetDriver: (() => void) | undefined

  constructor(source: WorkerSource, options: WorkOptions, deps: WorkerDeps) {
    this.id = deps.workerId
    this.#source = source
    this.#options = options
    this.#deps = deps
    this.#gate.shut('starting', 'it is starting')
    const { maxJobs } = options
    if (maxJobs !== undefined) {
      this.#allowance = new Allowance(maxJobs, deps.clock, (isSpent) => {
        if (isSpent) this.#gate.shut('spent', `it has started its maximum of jobs: ${maxJobs}`)
        else this.#gate.clear('spent')
      })
    }
    // Few callers await both, and an unhandled rejection would end the process.
    this.ready.catch(() => undefined)
    this.finished.catch(() => undefined)
  }

  get ready(): Promise<void> {
    return this.#ready.promise
  }

  get finished(): Promise<void> {
    return this.#finished.promise
  }

  start(): void {
    if (this.#options.signals ?? true) {
      this.#forgetSignals = onSignals({
        stop: () => {
          this.#signalled = true
          return this.#stop(undefined)
        },
        hurry: () => this.#hurry.abort(),
        log: (signal, message) => this.#deps.logger.info({ signal }, message),
      })
    }
    void this.#boot().catch((error: unknown) => {
      this.#assembled.resolve()
      // While it stops, a failure to start no longer matters.
      if (this.#stopping.signal.aborted) return
      this.#failure ??= toError(error)
      this.#ready.reject(this.#failure)
      void this.#stop(0)
    })
  }

  health(): WorkerHealth {
    const why = this.#why()
    const granted = this.#parts?.runs.count ?? 0
    const prefetched = this.#parts?.pools.reduce((sum, pool) => sum + pool.prefetched, 0) ?? 0
    const ended = this.#parts?.outcomeCounts.counts ?? noneEnded
    const broker = this.#deps.publisher.down
    const counts = {
      running: granted - prefetched,
      prefetched,
      ended,
      ...(broker === undefined ? {} : { broker }),
    }
    return why === undefined ? { taking: true, ...counts } : { taking: false, ...counts, why }
  }

  async stop(options: { readonly grace?: Duration | undefined } = {}): Promise<void> {
    checkOptions('worker.stop()', options, ['grace'])
    const { grace } = options
    await this.#stop(grace === undefined ? undefined : durationMs(grace, 'worker.stop({ grace })'))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop(undefined)
  }

  async #boot(): Promise<void> {
    const definition = typeof this.#source === 'function' ? await callFactory(this.#source) : this.#source
    if (this.#ended) return stopUsers(definition, this.#deps.logger)
    const parts = assemble(resolveWorker(definition), {
      deps: this.#deps,
      label: this.#options.label,
      queues: this.#options.queues,
      gate: this.#gate,
      allowance: this.#allowance,
      stopping: this.#stopping.signal,
      answered: (reply, sentMs, toldUpTo) => this.#answered(reply, sentMs, toldUpTo),
      leaseOut: () => this.#leaseOut(),
      served: () => {
        if (this.#isServed === false && this.#parts) this.#sayWhetherItTakes(this.#parts)
      },
      logGone: (error) => this.#giveUp(error, 0),
      exhausted: (why) => this.#exhausted(why),
    })
    this.#parts = parts
    this.#assembled.resolve()
    if (this.#stopping.signal.aborted) return
    await this.#deps.connect()
    if (this.#stopping.signal.aborted) return
    // The first beat must say which drivers the worker serves. It knows them by now.
    this.#report(parts)
    // A transfer waits until each worker says that it follows.
    this.#forgetDriver = this.#deps.route.onChange(() => {
      this.#report(parts)
      parts.heartbeat.beatNow()
    })
    await parts.heartbeat.start()
    if (this.#stopping.signal.aborted) return
    void this.#listen(parts)
    if (this.#allowance) void this.#stopWhenSpent(parts, this.#allowance)
    const feeds = Promise.all(parts.pools.map((pool) => pool.run(this.#feedsStop.signal)))
    const { signal } = this.#relayStop
    const { relay, ticker, limits } = parts
    this.#loops = { feeds, relay: Promise.all([relay, ticker, limits].map((each) => each.run(signal))) }
    this.#gate.clear('starting')
    const begun = parts.pools.flatMap((pool) => pool.feeds.map((feed) => feed.begun))
    await Promise.all([...begun, parts.limits.begun])
    this.#report(parts)
    this.#ready.resolve()
    this.#sayWhetherItTakes(parts)
  }

  /** Once, and again when the first queue could be subscribed after all. */
  #sayWhetherItTakes({ pools }: Parts): void {
    const feeds = pools.flatMap((pool) => pool.feeds)
    const served = feeds.filter((feed) => feed.trouble === undefined)
    const queues = served.flatMap((feed) => feed.open)
    this.#isServed = served.length > 0
    if (this.#isServed) this.#deps.logger.info({ queues }, 'the worker takes jobs')
    else this.#deps.logger.warn({ why: this.#why() }, 'the worker takes no jobs yet')
  }

  /** Running jobs may take as long as they need. */
  async #stopWhenSpent({ runs }: Parts, allowance: Allowance): Promise<void> {
    await runs.until(() => allowance.isSpent && runs.count === 0, this.#stopping.signal)
    await this.#stop(undefined)
  }

  /** Beats at once when something has changed that only a beat can tell, such as a cancellation. */
  async #listen({ heartbeat }: Parts): Promise<void> {
    const { log, clock, logger } = this.#deps
    const topic: Topic = `worker:${this.id}`
    const { signal } = this.#relayStop
    await supervised(
      async (healthy) => {
        for await (const woken of log.wakeups([topic], signal)) {
          healthy()
          if (woken === topic) heartbeat.beatNow()
        }
      },
      { what: 'listening for wake-ups', signal, clock, logger, minMs: listenMinMs, maxMs: listenMaxMs },
    )
  }

  #answered(reply: BeatReply, sentMs: number, toldUpTo: number): void {
    const parts = this.#parts
    if (!parts) return
    this.#gate.clear('lease')
    parts.progress.told(toldUpTo)
    parts.reconciler.answered(reply, sentMs)
    void this.#deps.route.follow(reply.transfer)
    for (const pool of parts.pools) pool.pause(reply.paused)
    this.#report(parts)
    if (reply.stop && !this.#stopping.signal.aborted) {
      this.#deps.logger.info({}, 'an operator has asked this worker to stop')
      void this.#stop(undefined)
    }
  }

  #leaseOut(): void {
    this.#gate.shut('lease', 'its lease is out: the job log has not answered a heartbeat in time')
    this.#parts?.heartbeat.beatNow()
  }

  #exhausted(why: string): void {
    this.#giveUp(new ErrandError('E_TIMEOUT', why), undefined)
  }

  /** Stops, and ends the process if it was started to work. */
  #giveUp(failure: ErrandError, graceMs: number | undefined): void {
    if (this.#stopping.signal.aborted) return
    this.#failure ??= failure
    this.#deps.logger.error({}, `${failure.message}; the worker stops`)
    const ended = this.#stop(graceMs)
    // Its handlers may never end: a supervisor must start the process again.
    if (this.#options.signals ?? true) void ended.then(({ deaf }) => exit(1, deaf > 0))
  }

  #report({ heartbeat, queues, pools, settler }: Parts): void {
    const why = this.#why()
    const slots = Object.assign({}, ...pools.map((pool) => pool.takes)) as Readonly<Record<string, number>>
    const drivers = this.#deps.route.places
    heartbeat.report({ queues, slots, taking: why === undefined, why, drivers, givenUp: settler.givenUp })
  }

  #why(): string | undefined {
    if (!this.#gate.isOpen) return this.#gate.why
    for (const pool of this.#parts?.pools ?? []) {
      for (const feed of pool.feeds) if (feed.trouble !== undefined) return feed.trouble
    }
    return undefined
  }

  /** Never rejects. A second caller awaits the same stop. */
  #stop(graceMs: number | undefined): Promise<Shutdown> {
    this.#stopped ??= this.#shutDown(graceMs)
    return this.#stopped
  }

  async #shutDown(graceMs: number | undefined): Promise<Shutdown> {
    this.#stopping.abort(shutdownError('the worker stops'))
    this.#gate.shut('stopping', 'it is stopping')
    let deaf = 0
    try {
      // A factory that waits for something may do so as long as a handler, and no longer.
      await waitFor(this.#assembled.promise, workerDefaults.graceMs, this.#deps.clock, this.#hurry.signal)
      const parts = this.#parts
      if (parts) {
        this.#report(parts)
        deaf = await shutDown(
          {
            ...parts,
            deps: this.#deps,
            hurry: this.#hurry.signal,
            stopFeeds: () => {
              this.#feedsStop.abort()
              return this.#loops?.feeds
            },
            stopRelay: () => {
              this.#relayStop.abort()
              return this.#loops?.relay
            },
          },
          graceMs ?? parts.worker.graceMs,
        )
      }
    } catch (error) {
      this.#failure ??= toError(error)
    }
    this.#ended = true
    this.#forgetSignals?.()
    this.#forgetDriver?.()
    // A signal to end is no failure of the worker: `await worker.ready` must not throw for it.
    if (this.#signalled && !this.#failure) this.#ready.resolve()
    this.#ready.reject(shutdownError('the worker was stopped before it was ready'))
    if (this.#failure) this.#finished.reject(this.#failure)
    else this.#finished.resolve()
    return { failed: this.#failure !== undefined, deaf }
  }
}
