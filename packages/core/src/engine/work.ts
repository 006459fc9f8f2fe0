import { cancelCalled, cancelMembers } from './cancel.ts'
import { addCount, lookAgain, tellEnd } from './ends.ts'
import { passNotedKeys } from './keys.ts'
import type { JobRow, JobStore, Work } from './store.ts'

/** Does at most `limit` of each kind of thing that was left for later. Returns the jobs that became ready, or have come to their limits. */
export function doWork(
  store: JobStore,
  now: number,
  limit: number,
  publishAfter: number,
): { readonly moved: JobRow[]; readonly full: boolean } {
  const work = store.takeWork(limit)
  const moved = [
    ...passNotedKeys(store, now, limit, publishAfter),
    ...work.flatMap((each) => doOne(store, now, each, publishAfter)),
  ]
  return { moved, full: work.length === limit || work.some(({ kind }) => kind === 'flow') }
}

function doOne(store: JobStore, now: number, work: Work, publishAfter: number): JobRow[] {
  switch (work.kind) {
    case 'job':
      return lookAgain(store, now, work.id, publishAfter)
    case 'ended':
      return tellEnd(store, now, work.id, publishAfter)
    case 'count':
      return addCount(store, now, work.id, work.count, publishAfter)
    case 'caller':
      return cancelCalled(store, now, work.id, work.caller, publishAfter)
    case 'flow':
      return cancelMembers(store, now, work.id, work.after, publishAfter).moved
    default:
      return work satisfies never
  }
}
