import { isFinal } from '@errand/core/ports'
import type { EventRecord, FinalState, NeedMode, StoredState } from '@errand/core/ports'
import type { JobHistory, NeedToCheck, Violation } from './types.ts'

/**
 * I9: no job starts before each job and flow that it needs has ended as it must. I11: a job that was cancelled because of a need
 * names one that has ended otherwise. Times are compared as in I5. What has no history left is not judged.
 */
export function checkNeeds(
  dispatched: readonly JobHistory[],
  eventsOf: (id: string) => readonly EventRecord[],
): Violation[] {
  return dispatched.flatMap((job) => [
    ...checkStarts(job, job.needs, eventsOf),
    ...checkCascades(job, job.needs, eventsOf),
  ])
}

function checkStarts(
  { id, events }: JobHistory,
  needs: readonly NeedToCheck[],
  eventsOf: (id: string) => readonly EventRecord[],
): Violation[] {
  return events
    .filter(({ type }) => type === 'started')
    .flatMap((started) =>
      needs
        .filter(({ mode }) => mode !== 'called')
        .filter(({ on, mode }) => !hasEnded(eventsOf(on), started.at, (state) => isAllowed(mode, state)))
        .map(({ on, mode }): Violation => ({
          invariant: 'I9',
          jobId: id,
          text: `run ${started.run} was started before ${on} had ended as it must (${mode})`,
        })),
    )
}

function checkCascades(
  { id, events }: JobHistory,
  needs: readonly NeedToCheck[],
  eventsOf: (id: string) => readonly EventRecord[],
): Violation[] {
  return events
    .filter(({ type, data }) => type === 'cancelled' && data.cause === 'need')
    .flatMap(({ at, data }): Violation[] => {
      const on = data.needs?.[0]
      const modes = needs.flatMap((need) => (need.on === on ? need.mode : []))
      const isWrong = (state: FinalState): boolean => modes.some((mode) => !isAllowed(mode, state))
      if (on !== undefined && modes.length > 0 && hasEnded(eventsOf(on), at, isWrong)) return []
      const text = `was cancelled because of ${on ?? 'nothing'}, which had not ended otherwise than it must`
      return [{ invariant: 'I11', jobId: id, text }]
    })
}

function hasEnded(
  events: readonly EventRecord[],
  until: number,
  matches: (state: FinalState) => boolean,
): boolean {
  if (events.length === 0) return true
  return events.some(({ at, state }) => at <= until && isEnd(state) && matches(state))
}

function isEnd(state: StoredState): state is FinalState {
  return isFinal(state)
}

function isAllowed(mode: NeedMode, state: FinalState): boolean {
  if (mode === 'succeeded') return state === 'succeeded'
  return mode === 'unsuccessful' ? state !== 'succeeded' : true
}
