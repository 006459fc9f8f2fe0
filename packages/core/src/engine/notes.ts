import { passNotedKeys } from './keys.ts'
import { admit, takeLimitNotes } from './admit.ts'
import type { JobRow, JobStore } from './store.ts'

/** Handles what was noted because a row was locked: ordering keys, and limits. Returns the jobs that became ready. */
export function passNotes(store: JobStore, now: number, limit: number): JobRow[] {
  const passed = passNotedKeys(store, now, limit, now)
  const places = [...takeLimitNotes(store, limit), ...passed.map((row) => row.limit)]
  return [...passed.filter(({ state }) => state === 'ready'), ...admit(store, now, places, now)]
}
