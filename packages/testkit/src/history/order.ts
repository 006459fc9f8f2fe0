import type { EventRecord } from '@errand/core/ports'
import type { JobHistory, Violation } from './types.ts'

/** From a job's dispatch, or replay, until it passed its key on. */
interface Life {
  readonly from: number
  to: number
}

interface Run {
  readonly id: string
  readonly from: number
  to: number
}

/**
 * I5: per ordering key, starts follow the order of dispatch, and each waits for its predecessor's end.
 *
 * The order in which a log shows events of different jobs is not always the order in which they happened (a
 * transaction may have begun long before it wrote), so jobs are compared by their events' times. Those are whole
 * milliseconds of one clock: two events in the same millisecond are in order either way.
 */
export function checkOrder(dispatched: readonly JobHistory[]): Violation[] {
  return [...byKey(dispatched).entries()].flatMap(([key, jobs]) => [
    ...overlaps(key, jobs),
    ...overtakings(key, jobs),
    ...overtakingsOfReplayed(key, jobs),
  ])
}

/** The key under which a job was dispatched: its queue and its ordering key. */
export function findOrderingKey({ events }: JobHistory): string | undefined {
  const first = events.find((event) => event.type === 'dispatched')
  return first?.data.orderingKey === undefined
    ? undefined
    : JSON.stringify([first.queue, first.data.orderingKey])
}

function byKey(dispatched: readonly JobHistory[]): Map<string, JobHistory[]> {
  const keys = new Map<string, JobHistory[]>()
  for (const job of dispatched) {
    const key = findOrderingKey(job)
    if (key === undefined) continue
    const jobs = keys.get(key)
    if (jobs) jobs.push(job)
    else keys.set(key, [job])
  }
  return keys
}

function overlaps(key: string, jobs: readonly JobHistory[]): Violation[] {
  const found: Violation[] = []
  const runs = jobs.flatMap(listRuns).toSorted((a, b) => a.from - b.from || a.to - b.to)
  let longest: Run | undefined
  for (const run of runs) {
    if (longest && run.id !== longest.id && run.from < longest.to) {
      found.push({
        invariant: 'I5',
        jobId: run.id,
        text: `ran while job ${longest.id} of the same key ${key} was running`,
      })
    }
    if (!longest || run.to > longest.to) longest = run
  }
  return found
}

function overtakings(key: string, jobs: readonly JobHistory[]): Violation[] {
  const found: Violation[] = []
  let last: { readonly id: string; readonly to: number } | undefined
  for (const job of jobs) {
    const started = job.events.find((event) => event.type === 'started')
    if (last && started && started.at < last.to) {
      const when =
        last.to === Infinity ? 'which has not ended' : `which ended ${last.to - started.at} ms later`
      found.push({
        invariant: 'I5',
        jobId: job.id,
        text: `was started before its predecessor ${last.id} of key ${key}, ${when}`,
      })
    }
    const [first] = listLives(job)
    if (first && (!last || first.to > last.to)) last = { id: job.id, to: first.to }
  }
  return found
}

/** A replayed job is next for its key: while it waits, the key must not pass to a later job. */
function overtakingsOfReplayed(key: string, jobs: readonly JobHistory[]): Violation[] {
  const replayed = jobs.flatMap((job, index) =>
    listLives(job)
      .slice(1)
      .map((life) => ({ id: job.id, index, life })),
  )
  if (replayed.length === 0) return []
  return jobs.flatMap((job, index) =>
    job.events
      // A job with a limit or needs was given its key before, without an event: it is unblocked when it passes its last gate.
      .filter(({ type }) => type === 'unblocked' && !hasOtherGates(job))
      .flatMap(({ at }) =>
        replayed.filter((other) => other.index < index && other.life.from < at && at < other.life.to),
      )
      .map(({ id }): Violation => ({
        invariant: 'I5',
        jobId: job.id,
        text: `was given key ${key} although job ${id} was replayed and came before it`,
      })),
  )
}

function listLives(job: JobHistory): Life[] {
  const lives: Life[] = []
  let current: Life | undefined
  for (const event of job.events) {
    if (!current && (event.type === 'dispatched' || event.type === 'replayed')) {
      current = { from: event.at, to: Infinity }
      lives.push(current)
    } else if (current && passesKeyOn(job, event)) {
      current.to = event.at
      current = undefined
    }
  }
  return lives
}

function passesKeyOn(job: JobHistory, event: EventRecord): boolean {
  if (event.type === 'failed') return job.onFailure !== 'block'
  return event.type === 'succeeded' || event.type === 'cancelled' || event.type === 'skipped'
}

function listRuns(job: JobHistory): Run[] {
  const runs: Run[] = []
  let current: Run | undefined
  for (const event of job.events) {
    if (event.type === 'started') {
      current = { id: job.id, from: event.at, to: Infinity }
      runs.push(current)
    } else if (current && event.state !== 'running') {
      current.to = event.at
      current = undefined
    }
  }
  return runs
}

function hasOtherGates({ events: [first] }: JobHistory): boolean {
  return first?.data.limit !== undefined || first?.data.needs !== undefined
}
