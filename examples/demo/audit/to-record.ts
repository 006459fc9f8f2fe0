import type { checkHistory } from '@errand/testkit/history'
import type { JobEvent } from 'errand'

type EventRecord = Parameters<typeof checkHistory>[0]['events'][number]

/** An event as applications see it, in the shape in which logs store it and the checker reads it. */
export function toRecord(event: JobEvent): EventRecord {
  const { at, ...told } = event
  return {
    ...told,
    at: at.getTime(),
    worker: 'worker' in event ? event.worker : undefined,
    data: toData(event),
    body: undefined,
  }
}

/** What the checker needs of an event besides its type. */
function toData(event: JobEvent): EventRecord['data'] {
  if (event.type === 'dispatched') return { orderingKey: event.orderingKey }
  return event.type === 'released' ? { why: event.why } : {}
}
