import { isFinal } from '@errand/core/ports'
import type { JobHistory, Violation } from './types.ts'

/** I1: no dispatched job is lost. Each ends in a final state, or the log shows it as live. */
export function checkPresence(dispatched: readonly JobHistory[], live?: Iterable<string>): Violation[] {
  const alive = live && new Set(live)
  return dispatched.flatMap(({ id, events }): Violation[] => {
    const lost = (text: string): Violation[] => [{ invariant: 'I1', jobId: id, text }]
    if (events.length === 0) return lost('was dispatched, and the log has no event of it')
    if (events[0]?.type !== 'dispatched' && events[0]?.version === 1)
      return lost('its history does not begin with its dispatch')
    if (!alive) return []
    const { state } = events.at(-1)!
    if (!isFinal(state) && !alive.has(id)) return lost(`its history ends as ${state}, and it is not live`)
    if (isFinal(state) && alive.has(id)) return lost(`its history ends as ${state}, and yet it is live`)
    return []
  })
}
