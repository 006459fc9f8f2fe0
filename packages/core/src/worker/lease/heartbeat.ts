import { writeSync } from 'node:fs'
import { Worker as Thread } from 'node:worker_threads'
import { ErrandError, isErrandError } from '../../errors.ts'
import type { WorkerRef } from '../../job/claim.ts'
import type { Logger } from '../../logging.ts'
import type { Clock } from '../../ports/clock.ts'
import type { BeatReply, JobLog, LogFactory } from '../../ports/job-log.ts'
import { checkThreadModule, threadModule } from '../../thread-module.ts'
import type { Beats } from '../run/beats.ts'
import { Beater } from './beater.ts'
import type { WorkerStatus } from './beater.ts'
import { HeartbeatMemory, hrNow, msToNs, noDeadline, nsToMs } from './heartbeat-memory.ts'
import type { FromThread, ThreadData, ToThread } from './heartbeat-thread.ts'

export interface HeartbeatOptions {
  readonly ref: WorkerRef
  readonly intervalMs: number
  readonly log: JobLog
  readonly logFactory: LogFactory
  readonly clock: Clock
  readonly logger: Logger
  readonly status: WorkerStatus
  /** `sentMs`: when the beat was sent, by `clock.monotonicMs`; `toldUpTo`: the log knows all progress up to this number. */
  readonly answered: (reply: BeatReply, sentMs: number, toldUpTo: number) => void
  /** The lease has run out: no beat was answered in time. */
  readonly leaseOut: () => void
  /** No beat will ever reach the log again: it is not the same log. */
  readonly logGone: (error: ErrandError) => void
}

/** How often the main thread shows that its event loop turns; with short leases more often. */
const tickMs = 250
/** How long the thread may take to end: a hanging beat must not delay the stop. */
const stopDeadlineMs = 2_000

/** Renews the process's lease. */
export interface Heartbeat extends Beats {
  /** Resolves with the first answered beat. Rejects if the thread cannot start, or its database user may not beat. */
  start(): Promise<void>
  /** A beat was answered: the log knows this worker. */
  readonly hasBeaten: boolean
  /** What the next beats say. */
  report(status: WorkerStatus): void
  /**
   * Until when a handler may block the event loop: ms of `clock.monotonicMs`, Infinity, or undefined while nothing
   * runs.
   */
  busyUntil(deadlineMs: number | undefined): void
  /** Resolves when no beat is under way and none will be. */
  stop(): Promise<void>
}

/** On a thread of its own if another thread can open the log, else on the main thread. */
export function heartbeat(options: HeartbeatOptions): Heartbeat {
  const { heartbeat: opening } = options.logFactory
  return opening ? threaded(options, opening) : onMainThread(options)
}

function onMainThread(options: HeartbeatOptions): Heartbeat {
  const { clock, log, ref } = options
  const stop = new AbortController()
  const first = Promise.withResolvers<void>()
  const lease = leaseWatch(options, () => leaseUntil - clock.monotonicMs())
  let leaseUntil = Number.NEGATIVE_INFINITY
  let running = Promise.resolve()
  const beater = new Beater({
    beat: (report) => log.beat(ref, report),
    intervalMs: options.intervalMs,
    leaseMs: ref.leaseMs,
    clock,
    status: options.status,
    answered(reply, { sentMs, leaseUntilMs, toldUpTo }) {
      leaseUntil = leaseUntilMs
      lease.renewed()
      first.resolve()
      options.answered(reply, sentMs, toldUpTo)
    },
    failed(error) {
      if (isErrandError(error, 'E_RIGHTS')) first.reject(error)
      if (isErrandError(error, 'E_LOG_REPLACED')) options.logGone(error)
      options.logger.warn({ err: error }, 'a heartbeat failed')
    },
  })
  return {
    start() {
      running = beater.run(stop.signal)
      return first.promise
    },
    get hasBeaten() {
      return leaseUntil > Number.NEGATIVE_INFINITY
    },
    leaseLeftMs: () => lease.leftMs(),
    report: (status) => {
      beater.status = status
    },
    progress: (progress, number) => beater.progress(progress, number),
    busyUntil: () => undefined,
    beatNow: () => beater.beatNow(),
    async stop() {
      lease.stop()
      stop.abort()
      await running
    },
  }
}

function threaded(options: HeartbeatOptions, opening: NonNullable<LogFactory['heartbeat']>): Heartbeat {
  const { clock, ref } = options
  const memory = new HeartbeatMemory()
  const first = Promise.withResolvers<void>()
  const lease = leaseWatch(options, () => nsToMs(memory.leaseUntil - hrNow()))
  let thread: Thread | undefined
  let { status } = options
  let ended: Promise<void> = Promise.resolve()
  let ticking: NodeJS.Timeout | undefined
  let stopping = false
  let answeredOnce = false

  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port, not a window's
  const post = (message: ToThread): void => thread?.postMessage(message)

  function receive(message: FromThread): void {
    if (message.type === 'failed') {
      const { code, message: text } = message
      // A worker that may not beat can never work: its start fails, instead of trying for ever.
      if (code === 'E_RIGHTS') first.reject(new ErrandError(code, text))
      if (code === 'E_LOG_REPLACED') options.logGone(new ErrandError(code, text))
      options.logger.warn({ code, error: text }, 'a heartbeat failed')
      return
    }
    // Under `node --watch`, Node reports on this channel which files the thread has imported.
    if (message.type !== 'answered') return
    answeredOnce = true
    lease.renewed()
    first.resolve()
    const { reply, sentNs, toldUpTo } = message
    options.answered(reply, clock.monotonicMs() - nsToMs(hrNow() - sentNs), toldUpTo)
  }

  /** Without its heartbeat, a process would go on after its lease, beside the workers that got its jobs. */
  function died(why: string): void {
    if (stopping) return
    const error = new ErrandError('E_LOG', `the heartbeat thread of worker ${ref.id} died: ${why}`)
    if (!answeredOnce) return first.reject(error)
    writeSync(2, `errand: worker process ${process.pid} exits: ${error.message}\n`)
    process.exit(1)
  }

  return {
    async start() {
      memory.tick = hrNow()
      const data: ThreadData = {
        ...opening,
        buffer: memory.buffer,
        ref,
        intervalMs: options.intervalMs,
        status,
      }
      const module = threadModule('heartbeat-thread', import.meta.url)
      for (const each of [module, opening.module]) checkThreadModule(each)
      thread = new Thread(new URL(module), {
        workerData: data,
        // Hooks for the application's code (tsx, instrumentation) do not belong on this thread.
        execArgv: [],
        name: 'errand heartbeat',
      })
      thread.on('message', receive)
      thread.on('error', (error) =>
        died(error instanceof Error ? (error.stack ?? error.message) : String(error)),
      )
      ended = new Promise((resolve) => {
        thread?.on('exit', (code) => {
          died(`it exited with code ${code}`)
          resolve()
        })
      })
      const tick = (): void => {
        memory.tick = hrNow()
      }
      ticking = setInterval(tick, Math.max(5, Math.min(tickMs, ref.leaseMs / 10)))
      ticking.unref()
      await first.promise
    },
    get hasBeaten() {
      return memory.leaseUntil > 0n
    },
    leaseLeftMs: () => lease.leftMs(),
    report(now) {
      status = now
      post({ type: 'status', status })
    },
    progress: (progress, number) => post({ type: 'progress', progress, number }),
    busyUntil(deadlineMs) {
      // The main thread is awake now, although its loop may have turned long ago: the handler that blocked it ends
      // right here.
      memory.tick = hrNow()
      if (deadlineMs === undefined) memory.deadline = 0n
      else if (deadlineMs === Number.POSITIVE_INFINITY) memory.deadline = noDeadline
      else memory.deadline = hrNow() + msToNs(deadlineMs - clock.monotonicMs())
    },
    beatNow: () => post({ type: 'beat' }),
    async stop() {
      stopping = true
      lease.stop()
      post({ type: 'stop' })
      const deadline = setTimeout(() => void thread?.terminate(), stopDeadlineMs)
      await ended
      clearTimeout(deadline)
      clearInterval(ticking)
    },
  }
}

/** Reports once that the lease has run out, and once more each time that it was renewed and has run out again. */
function leaseWatch(
  { clock, leaseOut }: HeartbeatOptions,
  leftMs: () => number,
): { renewed(): void; leftMs(): number; stop(): void } {
  let cancel: (() => void) | undefined
  const look = (): void => {
    const left = leftMs()
    cancel = left > 0 ? clock.after(left + 1, look) : undefined
    if (left <= 0) leaseOut()
  }
  return {
    renewed() {
      cancel?.()
      cancel = clock.after(leftMs() + 1, look)
    },
    leftMs: () => Math.max(0, leftMs()),
    stop: () => cancel?.(),
  }
}
