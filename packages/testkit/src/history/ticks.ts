import { isFinal } from '@errand/core/ports'
import type { JobHistory, Violation } from './types.ts'

/**
 * I16: no moment of a schedule has two jobs, and its moments grow. With `overlap: 'skip'` a job is dispatched only when the
 * one before has ended. Times of two jobs are compared as in I5.
 */
export function checkTicks(dispatched: readonly JobHistory[]): Violation[] {
  const found: Violation[] = []
  const wrong = (jobId: string, text: string): void => void found.push({ invariant: 'I16', jobId, text })
  const lastAt = new Map<string, number>()
  const lastJob = new Map<string, JobHistory>()
  for (const job of dispatched) {
    const { id, tick } = job
    if (!tick) continue
    const { schedule, at, overlap } = tick
    const before = lastAt.get(schedule)
    if (at !== undefined) {
      if (at === before) wrong(id, `is a second job of the tick ${at} of ${schedule}`)
      else if (before !== undefined && at < before)
        wrong(id, `is of the tick ${at} of ${schedule}, which came after ${before}`)
      lastAt.set(schedule, Math.max(at, before ?? at))
    }
    const predecessor = lastJob.get(schedule)
    if (overlap === 'skip' && predecessor && isLiveAt(predecessor, findDispatch(job)))
      wrong(id, `was dispatched by ${schedule} while its last job ${predecessor.id} was live`)
    lastJob.set(schedule, job)
  }
  return found
}

function findDispatch({ events }: JobHistory): number | undefined {
  return events.find(({ type }) => type === 'dispatched')?.at
}

function isLiveAt({ events }: JobHistory, at: number | undefined): boolean {
  const end = events.find(({ state }) => isFinal(state))
  return at !== undefined && events.length > 0 && (end === undefined || end.at > at)
}
