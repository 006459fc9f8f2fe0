import { describeFailure, releaseReasons } from '@errand/core'
import type { FlowCounts, JobEvent } from '@errand/core'
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
        event.flow && `in flow ${event.flow}`,
        event.needs.length > 0 ? `needs ${event.needs.join(', ')}` : undefined,
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
    case 'cancelled':
      return [
        event.cause && cancelCauses[event.cause],
        event.need,
        event.by && `by ${event.by}`,
        event.reason,
      ]
    case 'suspended':
      return [`waits for ${event.waits.join(', ')}`, again(event.until)]
    case 'resumed':
      return [event.waits.join(', ')]
    case 'received':
      return [event.message, event.by && `by ${event.by}`]
    case 'flow_dispatched':
    case 'flow_ended':
      return [flowText(event.counts)]
    case 'cancel_requested':
    case 'skipped':
    case 'replayed':
    case 'flow_cancel_requested':
    case 'flow_replayed':
      return [event.by && `by ${event.by}`, event.reason]
    case 'changed':
      return [event.changed.join(', '), event.by && `by ${event.by}`, event.reason]
    default:
      return event satisfies never
  }
}

const cancelCauses = {
  need: 'something that it needs has not ended as it must:',
  flow: 'its flow was cancelled',
  caller: 'the job that called it was cancelled',
} as const

function flowText({ total, succeeded, failed, cancelled }: FlowCounts): string {
  const ended = succeeded + failed + cancelled
  return `${total} members${ended > 0 ? `: ${succeeded} succeeded, ${failed} failed, ${cancelled} cancelled` : ''}`
}

function took(durationMs: number | undefined): string | undefined {
  return durationMs === undefined ? undefined : `in ${spanText(durationMs)}`
}
