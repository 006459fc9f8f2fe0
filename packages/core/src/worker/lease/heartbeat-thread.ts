import { writeSync } from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'
import type { WorkerRef } from '../../job/claim.ts'
import type { BeatReply, HeartbeatLog, Progress } from '../../ports/job-log.ts'
import { systemClock } from '../../ports/system-clock.ts'
import { Beater } from './beater.ts'
import type { WorkerStatus } from './beater.ts'
import { HeartbeatMemory, hrNow, msToNs, nsToMs } from './heartbeat-memory.ts'

/** What the thread is started with. */
export interface ThreadData {
  readonly module: string
  readonly data: unknown
  readonly buffer: SharedArrayBuffer
  readonly ref: WorkerRef
  readonly intervalMs: number
  readonly status: WorkerStatus
}

export type ToThread =
  | { readonly type: 'status'; readonly status: WorkerStatus }
  | { readonly type: 'progress'; readonly progress: Progress; readonly number: number }
  | { readonly type: 'beat' }
  | { readonly type: 'stop' }

export type FromThread =
  | {
      readonly type: 'answered'
      readonly reply: BeatReply
      readonly sentNs: bigint
      readonly toldUpTo: number
    }
  | { readonly type: 'failed'; readonly message: string; readonly code: string | undefined }

/**
 * Ends a process whose main thread is stuck beyond every deadline. Nothing else ends a synchronous loop, and with
 * further beats no other worker would get its jobs. A process that still starts is left alone: it has no jobs, and to
 * load code can take longer than a lease where processors are scarce. A thread's stderr goes through the main thread, so
 * this writes to the descriptor.
 */
function watch(memory: HeartbeatMemory, leaseMs: number, isTaking: () => boolean): () => void {
  const everyMs = Math.max(10, leaseMs / 10)
  let hasStarted = false
  let watchedSince = hrNow()
  let lastLook = watchedSince
  const timer = setInterval(() => {
    const now = hrNow()
    // The whole process was stopped (SIGSTOP, a sleeping laptop). The main thread gets a lease's time to show that it
    // lives.
    if (nsToMs(now - lastLook) > leaseMs / 2) watchedSince = now
    lastLook = now
    // Read before the tick: the main thread writes the tick first.
    const { deadline } = memory
    hasStarted ||= isTaking() || deadline !== 0n
    if (!hasStarted) watchedSince = now
    const quietSince = memory.tick > watchedSince ? memory.tick : watchedSince
    if (nsToMs(now - quietSince) <= leaseMs || deadline > now) return
    const stuckMs = Math.round(nsToMs(now - quietSince))
    writeSync(
      2,
      `errand: worker process ${process.pid} is killed: its event loop has been blocked for ${stuckMs} ms, past its lease and past the deadline of every job that it runs. Its jobs run again elsewhere.\n`,
    )
    process.kill(process.pid, 'SIGKILL')
  }, everyMs)
  return () => clearInterval(timer)
}

async function main(thread: ThreadData): Promise<void> {
  const memory = new HeartbeatMemory(thread.buffer)
  let { status } = thread
  const unwatch = watch(memory, thread.ref.leaseMs, () => status.taking)
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port, not a window's
  const post = (message: FromThread): void => parentPort?.postMessage(message)

  const opener = (await import(thread.module)) as {
    openHeartbeat(data: unknown): HeartbeatLog | Promise<HeartbeatLog>
  }
  const log = await opener.openHeartbeat(thread.data)
  const stop = new AbortController()
  const beater = new Beater({
    beat: (report) => log.beat(thread.ref, report),
    intervalMs: thread.intervalMs,
    leaseMs: thread.ref.leaseMs,
    status,
    clock: { ...systemClock, monotonicMs: () => nsToMs(hrNow()) },
    answered(reply, { sentMs, leaseUntilMs, toldUpTo }) {
      memory.leaseUntil = msToNs(leaseUntilMs)
      post({ type: 'answered', reply, sentNs: msToNs(sentMs), toldUpTo })
    },
    failed(error) {
      const message = error instanceof Error ? error.message : String(error)
      const code = error instanceof Error && 'code' in error ? String(error.code) : undefined
      post({ type: 'failed', message, code })
    },
  })
  parentPort?.on('message', (message: ToThread) => {
    switch (message.type) {
      case 'status':
        status = message.status
        beater.status = status
        return
      case 'progress':
        beater.progress(message.progress, message.number)
        return
      case 'beat':
        beater.beatNow()
        return
      case 'stop':
        stop.abort()
        return
      default:
        message satisfies never
    }
  })
  await beater.run(stop.signal)
  unwatch()
  await log.close()
  parentPort?.close()
}

if (parentPort) await main(workerData as ThreadData)
