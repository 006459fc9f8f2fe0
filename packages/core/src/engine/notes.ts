import { admit, takeLimitNotes } from './admit.ts'
import type { JobRow, JobStore } from './store.ts'
import { doWork } from './work.ts'

/** Does what was left for later: keys, limits, needs and flows. Returns the jobs that became ready. */
export function passNotes(store: JobStore, now: number, limit: number): JobRow[] {
  const { moved } = doWork(store, now, limit, now)
  const places = [...takeLimitNotes(store, limit), ...moved.map((row) => row.limit)]
  return [...moved.filter(({ state }) => state === 'ready'), ...admit(store, now, places, now)]
}
