import { isFinal } from '@errand/core/ports'
import type { EventRecord, FlowCounts } from '@errand/core/ports'
import type { FlowToCheck, JobHistory, Violation } from './types.ts'

type EventsOf = (id: string) => readonly EventRecord[]

/**
 * I10: a flow ends once, and again only after it was replayed; its members have ended by then, and its counts are theirs. Of the jobs
 * that need its success and those that need the opposite, only one kind starts.
 */
export function checkFlows(
  flows: readonly FlowToCheck[],
  dispatched: readonly JobHistory[],
  eventsOf: EventsOf,
): Violation[] {
  return flows.flatMap((flow) => {
    const wrong = (text: string): Violation => ({ invariant: 'I10', jobId: flow.id, text })
    const lives = listLives(eventsOf(flow.id))
    return [
      ...lives.flatMap(({ ends }) => (ends.length > 1 ? [wrong(`has ended ${ends.length} times`)] : [])),
      ...checkCounts(flow, lives.at(-1)?.ends[0], eventsOf).map(wrong),
      ...lives.flatMap((life) => checkCallbacks(flow.id, life, dispatched)).map(wrong),
    ]
  })
}

/** From a dispatch or a replay of a flow to the next. */
interface Life {
  readonly from: number
  to: number
  readonly ends: EventRecord[]
}

function listLives(events: readonly EventRecord[]): Life[] {
  const lives: Life[] = []
  for (const event of events) {
    if (event.type === 'flow_dispatched' || event.type === 'flow_replayed') {
      const before = lives.at(-1)
      if (before) before.to = event.at
      lives.push({ from: event.at, to: Infinity, ends: [] })
    }
    if (event.type === 'flow_ended') lives.at(-1)?.ends.push(event)
  }
  return lives
}

function checkCounts(flow: FlowToCheck, end: EventRecord | undefined, eventsOf: EventsOf): string[] {
  if (!end) return []
  const found = { succeeded: 0, failed: 0, cancelled: 0 }
  const texts: string[] = []
  for (const member of flow.members) {
    // It may have been replayed by itself since.
    const last = eventsOf(member).findLast(({ at, type }) => at <= end.at && type !== 'fenced')
    if (!last) continue
    if (last.state === 'succeeded' || last.state === 'failed' || last.state === 'cancelled')
      found[last.state] += 1
    else if (!hasEndedAt(eventsOf(member), end.at)) texts.push(`has ended before its member ${member}`)
  }
  const { counts } = end.data
  const isComplete = found.succeeded + found.failed + found.cancelled === flow.members.length
  if (texts.length === 0 && isComplete && counts && !isSame(counts, found))
    texts.push(`counts ${JSON.stringify(counts)}, and its members ended as ${JSON.stringify(found)}`)
  return texts
}

/** In the same millisecond it may stand on either side. */
function hasEndedAt(events: readonly EventRecord[], at: number): boolean {
  return events.some((event) => event.at <= at && isFinal(event.state))
}

function isSame(counts: FlowCounts, found: Pick<FlowCounts, 'succeeded' | 'failed' | 'cancelled'>): boolean {
  return (
    counts.succeeded === found.succeeded &&
    counts.failed === found.failed &&
    counts.cancelled === found.cancelled
  )
}

function checkCallbacks(flow: string, { from, to }: Life, dispatched: readonly JobHistory[]): string[] {
  const started = (mode: string): JobHistory | undefined =>
    dispatched.find(
      ({ needs, events }) =>
        needs.some((need) => need.on === flow && need.mode === mode) &&
        events.some(({ type, at }) => type === 'started' && at > from && at < to),
    )
  const [one, other] = [started('succeeded'), started('unsuccessful')]
  return one && other ? [`has let go both ${one.id}, which needs its success, and ${other.id}`] : []
}
