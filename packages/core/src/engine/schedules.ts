import type { KnownSchedules, ScheduleChange, ScheduleRecord, ScheduleSaved } from '../ports/schedules.ts'
import { append } from './append.ts'
import { nextRevision } from './revision.ts'
import type { JobStore } from './store.ts'

export function readSchedules(
  store: JobStore,
  now: number,
  names: readonly string[] | undefined,
): { now: number; schedules: ScheduleRecord[] } {
  const rows = names ? [...new Set(names)].flatMap((name) => store.schedule(name) ?? []) : store.schedules()
  const alive = new Set(store.workers().flatMap(({ id, leaseUntil }) => (leaseUntil >= now ? [id] : [])))
  return {
    now,
    schedules: rows
      .toSorted((a, b) => (a.name < b.name ? -1 : 1))
      .map((row) => ({ ...row, declarerLives: row.declaredBy !== undefined && alive.has(row.declaredBy) })),
  }
}

/** @param atomic a job that cannot be stored makes it throw, as in `append` */
export function saveSchedules(
  store: JobStore,
  now: number,
  changes: readonly ScheduleChange[],
  atomic: boolean,
): ScheduleSaved[] {
  return changes.map(({ name, after, to, job }) => {
    if ((store.schedule(name)?.revision ?? 0) !== after) return { saved: false }
    store.saveSchedule(name, to && { ...to, name, revision: nextRevision(after) })
    return { saved: true, appended: job && append(store, now, [job], { atomic, inside: atomic })[0] }
  })
}

/** The names of those that are due, and when the next one will be. */
export function findDueSchedules(
  store: JobStore,
  now: number,
  known: KnownSchedules | undefined,
  limit: number,
): { due: readonly string[]; nextAt: number | undefined } {
  if (!known || known.names.length + known.jobs.length === 0) return { due: [], nextAt: undefined }
  const first = store.firstSchedules(known, limit)
  const due = first.filter(({ dueAt }) => dueAt <= now)
  return {
    due: due.slice(0, limit).map(({ name }) => name),
    nextAt: first[Math.min(due.length, limit)]?.dueAt,
  }
}
