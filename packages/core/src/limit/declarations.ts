import type { ResolvedLimit } from '../define/limit.ts'
import { publishAndWake } from '../dispatch/publisher.ts'
import type { Publisher } from '../dispatch/publisher.ts'
import { isSameJson } from '../json.ts'
import type { Logger } from '../logging.ts'
import type { Clock } from '../ports/clock.ts'
import type { JobLog } from '../ports/job-log.ts'
import type { LimitChange, LimitRecord } from '../ports/limits.ts'
import { jittered, supervised } from '../supervise.ts'
import { readLimitBody, writeLimitBody } from './body.ts'

export interface LimitParts {
  readonly log: JobLog
  readonly workerId: string
  readonly limits: ReadonlyMap<string, ResolvedLimit>
  readonly publisher: Publisher
  readonly clock: Clock
  readonly logger: Logger
}

const declareEveryMs = 30_000
const retryMinMs = 200

/** Tells the log the limits of this worker's jobs, again and again, so that they stay right when other versions come and go. */
export class LimitDeclarations {
  /** Resolves after the first try. */
  readonly begun: Promise<void>
  readonly #parts: LimitParts
  readonly #begin: () => void
  #startedAt: number | undefined

  constructor(parts: LimitParts) {
    this.#parts = parts
    const { promise, resolve } = Promise.withResolvers<void>()
    this.begun = promise
    this.#begin = resolve
    if (parts.limits.size === 0) resolve()
  }

  async run(stop: AbortSignal): Promise<void> {
    const { clock, logger, limits } = this.#parts
    if (limits.size === 0) return
    await supervised(
      async (healthy) => {
        while (!stop.aborted) {
          await this.declare().finally(this.#begin)
          healthy()
          await clock.sleep(jittered(declareEveryMs), stop)
        }
      },
      { what: 'declaring the limits', signal: stop, clock, logger, minMs: retryMinMs, maxMs: declareEveryMs },
    )
  }

  /**
   * Writes the limits that the log does not have, or has differently. Of two versions the one whose worker started last applies, as
   * long as such a worker lives.
   */
  async declare(): Promise<void> {
    const { log, limits, publisher } = this.#parts
    const { now, limits: found } = await log.readLimits([...limits.keys()])
    this.#startedAt ??= now
    const records = new Map(found.map((record) => [record.name, record]))
    const changes = await Promise.all(
      [...limits.values()].map((limit) => this.#change(limit, records.get(limit.name))),
    )
    const made = changes.filter((change) => change !== undefined)
    if (made.length > 0) publishAndWake(log, publisher, (await log.saveLimits(made)).tickets)
  }

  async #change(
    { name, values }: ResolvedLimit,
    record: LimitRecord | undefined,
  ): Promise<LimitChange | undefined> {
    const { workerId } = this.#parts
    const startedAt = this.#startedAt ?? 0
    const before = record && readLimitBody(record)
    const declared = { declared: values, declaredBy: workerId, declarerStartedAt: startedAt }
    const after = record?.revision ?? 0
    if (!before) return { name, after, to: writeLimitBody({ ...declared, acts: [] }) }
    if (isSameJson(before.declared, values)) return undefined
    const isNewer = startedAt > before.declarerStartedAt
    if (!isNewer && (await this.#isAlive(before.declaredBy))) return undefined
    return { name, after, to: writeLimitBody({ ...before, ...declared }) }
  }

  async #isAlive(worker: string): Promise<boolean> {
    return (await this.#parts.log.workers()).some(({ id, alive }) => id === worker && alive)
  }
}
