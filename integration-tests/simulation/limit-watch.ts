import type { JobRow, JobStore, LimitKeyRow, LimitRow } from '@errand/core/engine'
import { listPaused } from '../../packages/core/src/engine/places.ts'
import { limitKeys } from './limit-plan.ts'

/** A job that its limit has let go. */
interface Admission {
  readonly name: string
  readonly key: string
}

/** What is known of a limit from the transactions before. */
interface Known {
  /** When its jobs were let go: ms since the epoch. */
  readonly times: number[]
  /** By key: the number of the last admission, and since which one the key waits. */
  readonly last: Map<string, number>
  readonly since: Map<string, number>
}

/** Compares what each transaction has done to limits with what they say. It knows nothing of how they are kept. */
export class LimitWatch {
  readonly #wrong: (text: string) => void
  readonly #known = new Map<string, Known>()
  #position = 0
  #count = 0

  constructor(wrong: (text: string) => void) {
    this.#wrong = wrong
  }

  /** A transaction is over. @param now the time of the log */
  look(store: JobStore, now: number): void {
    const admitted = this.#readEvents(store)
    const limits = new Map(store.limits().map((limit) => [limit.name, limit]))
    const paused = listPaused(store)
    for (const admission of admitted) this.#judge(store, now, limits.get(admission.name), admission)
    for (const limit of limits.values()) this.#judgeRest(store, now, limit, paused)
  }

  #knownOf(name: string): Known {
    const known = this.#known.get(name) ?? { times: [], last: new Map(), since: new Map() }
    this.#known.set(name, known)
    return known
  }

  #readEvents(store: JobStore): readonly Admission[] {
    const events = store.events(this.#position, Number.MAX_SAFE_INTEGER, {})
    this.#position = events.at(-1)?.position ?? this.#position
    return events.flatMap(({ jobId, type, state }) => {
      const limit = store.row(jobId)?.limit
      if (!limit || state !== 'ready') return []
      if (type === 'unblocked') return limit
      if (type === 'dispatched' || type === 'due' || type === 'replayed')
        this.#wrong(`job ${jobId} became ready past its limit ${limit.name}: ${type}`)
      return []
    })
  }

  #judge(store: JobStore, now: number, limit: LimitRow | undefined, { name, key }: Admission): void {
    const wrong = (text: string): void => this.#wrong(`limit ${name}, key "${key}": ${text}`)
    if (!limit?.values) return wrong('a job was let go, and nobody has declared the limit')
    const { total, perKey, rate } = limit.values
    const inAll = count(store.heldOf(name, undefined))
    const ofKey = count(store.heldOf(name, key))
    if (total !== undefined && inAll > total) wrong(`${inAll} jobs are ready or running, and not ${total}`)
    if (perKey !== undefined && ofKey > perKey)
      wrong(`${ofKey} jobs of it are ready or running, and not ${perKey}`)
    for (const closed of [limit.closed, store.limitKey(name, key)?.closed])
      if (closed && closed.until > now) wrong(`a job was let go, and it is closed until ${closed.until}`)

    const known = this.#knownOf(name)
    known.times.push(now)
    if (rate) {
      const most = (since: number): number => rate.burst + (now - since) / rate.everyMs + 1e-3
      const index = known.times.findIndex((since, at) => known.times.length - at > most(since))
      if (index !== -1) wrong(`${known.times.length - index} jobs were let go since ${known.times[index]}`)
    }

    this.#count += 1
    const before = known.last.get(key)
    if (perKey === undefined && before !== undefined) {
      for (const [other, since] of known.since) {
        const isEarlier = since < before && (known.last.get(other) ?? -1) < before
        if (other !== key && isEarlier && isInLine(store.limitKey(name, other), now))
          wrong(`it was let go twice while "${other}" waited`)
      }
    }
    known.last.set(key, this.#count)
    // Whether it still waits shows when the transaction is over.
    known.since.delete(key)
  }

  /** Who waits, and whether somebody waits who could go. */
  #judgeRest(store: JobStore, now: number, limit: LimitRow, paused: readonly string[]): void {
    const { name, values, closed, admitAt } = limit
    const known = this.#knownOf(name)
    const isClosed = closed !== undefined && closed.until > now
    const free = values?.total === undefined ? 1 : values.total - count(store.heldOf(name, undefined))
    for (const key of limitKeys) {
      const row = store.limitKey(name, key)
      const waits = store.atLimit({ name, key }, paused, 1).length > 0
      if (!waits || !isInLine(row, now)) {
        known.since.delete(key)
        continue
      }
      if (!known.since.has(key)) known.since.set(key, this.#count)
      const ofKey = values?.perKey === undefined ? 1 : values.perKey - count(store.heldOf(name, key))
      const isLooked = admitAt !== undefined || row?.admitAt !== undefined
      if (values && !isClosed && free > 0 && ofKey > 0 && !isLooked)
        this.#wrong(`limit ${name}, key "${key}": a job waits, there is room, and nobody looks`)
    }
  }

  /** At the end, when all jobs have ended. */
  check(store: JobStore, rows: readonly JobRow[]): void {
    for (const { name, admitAt } of store.limits())
      for (const { key, waits } of store.limitKeys(name, 1_000))
        // If it is to be looked at, it goes then.
        if (
          waits &&
          admitAt === undefined &&
          !rows.some(({ limit, atLimit }) => atLimit && limit?.name === name && limit.key === key)
        )
          this.#wrong(`limit ${name}, key "${key}" waits, and has no job`)
  }
}

/**
 * Not while it is closed, nor when its jobs were of a paused queue when it had its turn: then it is looked at again soon, whatever
 * has become of the queue.
 */
function isInLine(row: LimitKeyRow | undefined, now: number): boolean {
  if (!row) return true
  const isClosed = row.closed !== undefined && row.closed.until > now
  return !isClosed && (row.waits || row.admitAt === undefined)
}

function count({ ready, running }: { readonly ready: number; readonly running: number }): number {
  return ready + running
}
