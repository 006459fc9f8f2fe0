import type { FinalState } from '../job/state.ts'
import type { PruneOptions } from '../ports/operations.ts'
import { freeUnique } from './keys.ts'
import type { JobRow, JobStore } from './store.ts'

/** Deletes what ended long enough ago. Jobs of a flow go with it, and nothing of it goes while an unfinished job needs it. */
export function prune(
  store: JobStore,
  now: number,
  options: PruneOptions,
): { readonly jobs: number; readonly more: boolean } {
  const past: readonly [FinalState[], number][] = [
    [['succeeded', 'cancelled'], now - options.succeededMs],
    [['failed'], now - options.failedMs],
  ]
  let jobs = 0
  for (const [states, until] of past) {
    if (jobs >= options.limit) break
    const gone = store.finished(states, until, options.limit - jobs)
    remove(store, now, gone)
    jobs += gone.length
  }
  for (const [states, until] of past)
    for (const { id } of store.endedFlows(states, until, options.limit)) {
      if (jobs < options.limit) jobs += removeMembers(store, now, id, options.limit - jobs)
    }
  const events = store.removeEvents(now - Math.max(options.succeededMs, options.failedMs), options.limit)
  return { jobs, more: [jobs, events].some((count) => count >= options.limit) }
}

/** At most `limit` jobs of the flow; the flow itself once none is left. Returns how many. */
function removeMembers(store: JobStore, now: number, id: string, limit: number): number {
  const gone: JobRow[] = []
  let jobs = 0
  let after = 0
  for (let left = true; left;) {
    const members = store.members(id, after, limit)
    left = members.length === limit && jobs < limit
    for (const member of members) {
      if (jobs >= limit) break
      after = member.index
      const row = member.isFlow ? undefined : store.row(member.id)
      if (row) {
        gone.push(row)
        jobs += 1
      } else if (member.isFlow) jobs += removeMembers(store, now, member.id, limit - jobs)
    }
  }
  remove(store, now, gone)
  if (jobs < limit) store.removeFlow(id)
  return jobs
}

function remove(store: JobStore, now: number, rows: readonly JobRow[]): void {
  for (const row of rows) {
    freeUnique(store, now, row, false)
    if (row.hasNeeds) store.removeNeeds(row.id)
    store.remove(row.id)
  }
  if (rows.length > 0) store.forget(rows.map(({ id }) => id))
}
