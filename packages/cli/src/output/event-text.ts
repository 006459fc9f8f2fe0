import { describeFailure, releaseReasons } from '@errand/core'
import type { JobEvent } from '@errand/core'
import { relative, spanText } from './times.ts'

/** The facts of an event besides its type and its job, as one line of plain text. */
export function eventText(event: JobEvent): string {
  return parts(event)
    .filter((part): part is string => part !== undefined && part !== '')
    .join(' · ')
}

function parts(event: JobEvent): readonly (string | undefined)[] {
  const again = (at: Date | undefined): string | undefined =>
    at && `again ${relative(at.getTime(), event.at.getTime())}`
  switch (event.type) {
    case 'dispatched': {
      const { orderingKey, runAt, parentId } = event
      const due = runAt && `due ${relative(runAt.getTime(), event.at.getTime())}`
      return [
        orderingKey === undefined ? undefined : `key ${orderingKey}`,
        due,
        parentId && `by job ${parentId}`,
      ]
    }
    case 'due':
    case 'unblocked':
      return []
    case 'unknown':
      return ['a newer version of errand wrote this event']
    case 'started':
      return [`run ${event.run}, attempt ${event.attempt}`, event.host && `on ${event.host}`]
    case 'progressed':
      return [String(event.progress), event.message]
    case 'succeeded':
      return [took(event.durationMs)]
    case 'errored':
      return [describeFailure(event.error), took(event.durationMs), again(event.retryAt)]
    case 'snoozed':
      return [event.reason, again(event.until)]
    case 'released':
      return [event.why && releaseReasons[event.why], `by ${event.worker}`]
    case 'lost':
      return [event.error.message, again(event.retryAt)]
    case 'fenced':
      return [`a late result of run ${event.fencedRun ?? '?'} was refused`]
    case 'failed':
      return [event.cause, describeFailure(event.error)]
    case 'cancel_requested':
    case 'cancelled':
    case 'skipped':
    case 'replayed':
      return [event.by && `by ${event.by}`, event.reason]
    case 'changed':
      return [event.changed.join(', '), event.by && `by ${event.by}`, event.reason]
    default:
      return event satisfies never
  }
}

function took(durationMs: number | undefined): string | undefined {
  return durationMs === undefined ? undefined : `in ${spanText(durationMs)}`
}
