import { ErrandError } from '../errors.ts'
import { inTime } from '../in-time.ts'
import type { QueueName } from '../job/ticket.ts'
import type { Clock } from '../ports/clock.ts'
import type { Driver } from '../ports/driver.ts'
import type { JobLog } from '../ports/job-log.ts'
import type { QueueRecord, WorkerRecord } from '../ports/operations.ts'
import type { Transfer } from '../ports/transfer.ts'

/** A queue that still has something at the driver that is left. */
export interface LeftQueue {
  readonly queue: QueueName
  /** Undefined where only the log can tell: jobs from before the move are ready. */
  readonly tickets: number | undefined
  /**
   * Why it is not waited for: `paused` and `unserved` queues drain nobody, and an `unreachable` broker delivers nothing.
   * Undefined: workers are at it.
   */
  readonly why: 'paused' | 'unserved' | 'unreachable' | undefined
}

export interface DrainParts {
  readonly log: JobLog
  readonly clock: Clock
  /** Undefined where this process cannot reach it. */
  readonly old: Driver | undefined
  readonly transfer: Transfer
  /** After so long a ready job is overdue, wherever its ticket is. */
  readonly publishGraceMs: number
}

/** How long the old broker may fail to answer before nobody waits for it any more. */
const unreachableMs = 10_000

/** How long one reading of a depth may take. */
const answerMs = 3_000

/** Looks what is left at the driver that the system moves away from. */
export class Drain {
  readonly #parts: DrainParts
  readonly #beganMs: number
  readonly #failingSinceMs = new Map<QueueName, number>()

  constructor(parts: DrainParts) {
    this.#parts = parts
    this.#beganMs = parts.clock.monotonicMs()
  }

  /** Queues with something left, those that are waited for first. */
  async look(workers: readonly WorkerRecord[]): Promise<readonly LeftQueue[]> {
    const { log, transfer } = this.#parts
    const draining = workers.filter(({ alive, drivers }) => alive && drivers.includes(transfer.from.place))
    const served = new Set(draining.flatMap(({ queues }) => queues))
    const left = await Promise.all((await log.queues()).map((queue) => this.#of(queue, served)))
    return left.flat().toSorted((a, b) => Number(a.why !== undefined) - Number(b.why !== undefined))
  }

  async #of({ name, paused }: QueueRecord, served: ReadonlySet<QueueName>): Promise<LeftQueue[]> {
    const why = paused ? 'paused' : served.has(name) ? undefined : 'unserved'
    const left = await this.#tickets(name)
    if (left === 0) return []
    if (left === 'failed') return why ? [] : this.#failed(name)
    return [{ queue: name, tickets: left, why }]
  }

  #failed(queue: QueueName): LeftQueue[] {
    const nowMs = this.#parts.clock.monotonicMs()
    const sinceMs = this.#failingSinceMs.get(queue) ?? nowMs
    this.#failingSinceMs.set(queue, sinceMs)
    const why = nowMs - sinceMs >= unreachableMs ? 'unreachable' : undefined
    return [{ queue, tickets: undefined, why }]
  }

  async #tickets(queue: QueueName): Promise<number | undefined | 'failed'> {
    const { clock, old } = this.#parts
    if (old?.capabilities.depth !== 'exact') return (await this.#hasJobsOfBefore(queue)) ? undefined : 0
    try {
      // A broker that hangs must not hold up the look at the others.
      const depth = await inTime(old.depth(queue), answerMs, clock, () => {
        throw new ErrandError('E_DRIVER', `no depth within ${answerMs} ms`)
      })
      this.#failingSinceMs.delete(queue)
      if (depth !== undefined) return depth
      // It may not tell, for want of a right.
      return (await this.#hasJobsOfBefore(queue)) ? undefined : 0
    } catch {
      return 'failed'
    }
  }

  /** Where the driver cannot count: a job of before the move that is still ready may depend on it. */
  async #hasJobsOfBefore(queue: QueueName): Promise<boolean> {
    const { log, clock, old, transfer, publishGraceMs } = this.#parts
    const overdue = clock.monotonicMs() - this.#beganMs > publishGraceMs
    if (old?.capabilities.delivers !== 'claims' && overdue) return false
    const jobs = await log.list({ queue, state: 'ready', before: transfer.at }, { limit: 1 })
    return jobs.length > 0
  }
}
