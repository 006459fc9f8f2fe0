import { ErrandError } from '../errors.ts'
import { inTime } from '../in-time.ts'
import type { QueueName } from '../job/ticket.ts'
import type { Clock } from '../ports/clock.ts'
import type { Driver } from '../ports/driver.ts'
import type { JobLog } from '../ports/job-log.ts'
import type { QueueRecord, WorkerRecord } from '../ports/operations.ts'
import type { Transfer } from '../ports/transfer.ts'

/** A queue that still has tickets at the old driver. */
export interface LeftQueue {
  readonly queue: QueueName
  /** Of one ticket or several. Undefined if only the log can tell: jobs from before the move are ready. */
  readonly messages: number | undefined
  /**
   * Why it is not waited for: `paused` and `unserved` queues drain nobody, and an `unreachable` broker delivers nothing.
   * Undefined: workers are at it.
   */
  readonly why: 'paused' | 'unserved' | 'unreachable' | undefined
}

export interface DrainParts {
  readonly log: JobLog
  readonly clock: Clock
  /** Undefined if this process cannot reach it. */
  readonly old: Driver | undefined
  readonly transfer: Transfer
  /** A ready job is overdue after this time, wherever its ticket is. */
  readonly publishGraceMs: number
}

/** The move stops waiting for an old broker that has not answered for this long. */
const unreachableMs = 10_000

/** How long one reading of a depth may take. */
const answerMs = 3_000

/** Looks for what is left at the old driver. */
export class Drain {
  readonly #parts: DrainParts
  readonly #beganMs: number
  readonly #failingSinceMs = new Map<QueueName, number>()

  constructor(parts: DrainParts) {
    this.#parts = parts
    this.#beganMs = parts.clock.monotonicMs()
  }

  /** Queues with tickets left. Those that are waited for come first. */
  async look(workers: readonly WorkerRecord[]): Promise<readonly LeftQueue[]> {
    const { log, transfer } = this.#parts
    const draining = workers.filter(({ alive, drivers }) => alive && drivers.includes(transfer.from.place))
    const served = new Set(draining.flatMap(({ queues }) => queues))
    const left = await Promise.all((await log.queues()).map((queue) => this.#of(queue, served)))
    return left.flat().toSorted((a, b) => Number(a.why !== undefined) - Number(b.why !== undefined))
  }

  async #of({ name, paused }: QueueRecord, served: ReadonlySet<QueueName>): Promise<LeftQueue[]> {
    const why = paused ? 'paused' : served.has(name) ? undefined : 'unserved'
    const left = await this.#messages(name)
    if (left === 0) return []
    if (left === 'failed') return why ? [] : this.#failed(name)
    return [{ queue: name, messages: left, why }]
  }

  #failed(queue: QueueName): LeftQueue[] {
    const nowMs = this.#parts.clock.monotonicMs()
    const sinceMs = this.#failingSinceMs.get(queue) ?? nowMs
    this.#failingSinceMs.set(queue, sinceMs)
    const why = nowMs - sinceMs >= unreachableMs ? 'unreachable' : undefined
    return [{ queue, messages: undefined, why }]
  }

  async #messages(queue: QueueName): Promise<number | undefined | 'failed'> {
    const { clock, old } = this.#parts
    if (old?.capabilities.depth !== 'exact') return (await this.#hasJobsOfBefore(queue)) ? undefined : 0
    try {
      // A hanging broker must not delay the look at the others.
      const depth = await inTime(old.depth(queue), answerMs, clock, () => {
        throw new ErrandError('E_DRIVER', `no depth within ${answerMs} ms`)
      })
      this.#failingSinceMs.delete(queue)
      if (depth !== undefined) return depth
      // It may lack the right to tell.
      return (await this.#hasJobsOfBefore(queue)) ? undefined : 0
    } catch {
      return 'failed'
    }
  }

  /** For a driver that cannot count: a job from before the move that is still ready may depend on it. */
  async #hasJobsOfBefore(queue: QueueName): Promise<boolean> {
    const { log, clock, old, transfer, publishGraceMs } = this.#parts
    const overdue = clock.monotonicMs() - this.#beganMs > publishGraceMs
    if (old?.capabilities.delivers !== 'claims' && overdue) return false
    const jobs = await log.list({ queue, state: 'ready', before: transfer.at }, { limit: 1 })
    return jobs.length > 0
  }
}
