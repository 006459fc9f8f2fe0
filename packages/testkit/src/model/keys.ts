import { isFinal } from '@errand/core/ports'
import type { NewJob } from '@errand/core/ports'
import type { ModelJob } from './job.ts'
import { judgeNeeds } from './needs.ts'

/** Which job holds which ordering key, and which unique key. */
export class ModelKeys {
  readonly #holders = new Map<string, string>()
  readonly #uniques = new Map<string, { readonly id: string; readonly until: number }>()

  /** The holder is the first live job of the key, or one that failed and blocks. */
  isHolder({ job }: ModelJob): boolean {
    const key = toOrderingKey(job)
    return key !== undefined && this.#holders.get(key) === job.id
  }

  decideTurn(job: ModelJob): 'ready' | 'blocked' {
    return !job.job.ordering || this.isHolder(job) ? 'ready' : 'blocked'
  }

  take({ job }: ModelJob): void {
    const key = toOrderingKey(job)
    if (key !== undefined && !this.#holders.has(key)) this.#holders.set(key, job.id)
  }

  /** A replayed job goes before a newer holder that waits for what it needs. */
  takeOver({ job, order }: ModelJob, jobs: readonly ModelJob[]): void {
    const key = toOrderingKey(job)
    const holder = jobs.find((other) => key !== undefined && this.#holders.get(key) === other.job.id)
    if (key === undefined || !holder || holder.order < order) return
    const waits = holder.state === 'blocked' || holder.state === 'scheduled'
    if (waits && judgeNeeds(holder) === 'open') this.#holders.set(key, job.id)
  }

  /** Passes the key to its live job that was dispatched first, whatever its state. Returns that job. */
  pass(from: ModelJob, jobs: readonly ModelJob[]): ModelJob | undefined {
    const key = toOrderingKey(from.job)
    if (key === undefined || !this.isHolder(from)) return undefined
    const next = jobs.find(({ job, state }) => toOrderingKey(job) === key && !isFinal(state))
    if (next) this.#holders.set(key, next.job.id)
    else this.#holders.delete(key)
    return next
  }

  uniqueHolder(job: NewJob, now: number): string | undefined {
    const held = this.#uniques.get(toUniqueKey(job) ?? '')
    return held && held.until > now ? held.id : undefined
  }

  holdUnique(job: NewJob): void {
    const key = toUniqueKey(job)
    if (key !== undefined) this.#uniques.set(key, { id: job.id, until: Infinity })
  }

  /** Frees the unique key. With `keepFor`, a key with a minimum time is free once that time is over. */
  freeUnique({ job, dispatchedAt }: ModelJob, now: number, keepFor: boolean): void {
    const key = toUniqueKey(job)
    if (key === undefined || this.#uniques.get(key)?.id !== job.id) return
    const forMs = keepFor ? job.unique?.forMs : undefined
    this.#uniques.set(key, { id: job.id, until: forMs === undefined ? now : dispatchedAt + forMs })
  }
}

function toOrderingKey(job: NewJob): string | undefined {
  return job.ordering && `${job.queue} ${job.ordering.key}`
}

function toUniqueKey(job: NewJob): string | undefined {
  return job.unique && `${job.name} ${job.unique.key}`
}
