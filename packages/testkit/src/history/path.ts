import { isFinal, isLegal, releaseReasons, transitions } from '@errand/core/ports'
import type { EventRecord, StoredEventType, StoredState, Transition } from '@errand/core/ports'
import type { JobHistory, Violation } from './types.ts'

/** I7: every history is a legal path of the table of states, with nothing missing, and counters that follow from it. */
export function checkPath({ id, events }: JobHistory): Violation[] {
  const found: Violation[] = []
  const wrong = (text: string): void => void found.push({ invariant: 'I7', jobId: id, text })

  let before: EventRecord | undefined
  let cancelling = false
  for (const event of events) {
    const expected = (before?.version ?? 0) + 1
    if (event.version === before?.version) {
      wrong(`version ${event.version} stands for two events, ${before.type} and ${event.type}`)
    } else if (event.version !== expected) {
      wrong(
        `version ${event.version} (${event.type}) follows ${before?.version ?? 'nothing'}: events are missing`,
      )
      // Events in between are missing, so neither state nor counters can be checked against what came before.
      before = event
      continue
    }
    if (!isLegal(event.type, before?.state, event.state)) {
      wrong(
        `${event.type} leads from ${before?.state ?? 'nothing'} to ${event.state} (version ${event.version})`,
      )
    }
    if (before && isInterim(before) && event.type !== 'failed' && event.type !== 'cancelled') {
      wrong(
        `${before.type} must be followed by failed or cancelled at once, not by ${event.type} (version ${event.version})`,
      )
    }
    if (before) for (const text of counterFaults(before, event)) wrong(text)
    if (event.type === 'released' && !isReason(event.data.why)) {
      wrong(`released (version ${event.version}) does not say why: ${String(event.data.why)}`)
    }

    if (event.type === 'cancel_requested') cancelling = true
    else if (cancelling && goesOnLiving(event)) {
      wrong(
        `${event.type} leads to ${event.state} (version ${event.version}) although its cancellation was requested`,
      )
    }
    if (isFinal(event.state)) cancelling = false
    before = event
  }
  if (before && isInterim(before))
    wrong(`${before.type} in state running is its last event: failed or cancelled is missing`)
  return found
}

/** `errored` and `lost` may leave the job running: then the end must follow immediately. */
function isInterim(event: EventRecord): boolean {
  if (event.type === 'unknown') return false
  const transition: Transition = transitions[event.type]
  return transition.interim === true && event.state === 'running'
}

/** A log may return any value. */
const isReason = (why: unknown): boolean => typeof why === 'string' && Object.hasOwn(releaseReasons, why)

const waiting: readonly StoredState[] = ['ready', 'scheduled', 'blocked', 'suspended']
const goesOnLiving = (event: EventRecord): boolean => waiting.includes(event.state)

const givesAttemptBack: readonly StoredEventType[] = ['snoozed', 'released', 'lost', 'suspended']

function counterFaults(before: EventRecord, event: EventRecord): string[] {
  const run = before.run + (event.type === 'started' ? 1 : 0)
  const attempt =
    event.type === 'replayed' || event.type === 'resumed'
      ? 0
      : before.attempt + (event.type === 'started' ? 1 : 0) - (givesAttemptBack.includes(event.type) ? 1 : 0)
  const at = `${event.type} (version ${event.version})`
  return [
    ...(event.run === run ? [] : [`${at} has run ${event.run} where ${run} follows from ${before.run}`]),
    ...(event.attempt === attempt
      ? []
      : [`${at} has attempt ${event.attempt} where ${attempt} follows from ${before.attempt}`]),
  ]
}
