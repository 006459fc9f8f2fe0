import type { NewFlow } from '../job/flow.ts'
import { isFinal } from '../job/state.ts'
import type { EventType, FinalState } from '../job/state.ts'
import type { EventData } from '../job/events.ts'
import type { FlowCount, FlowRow, JobRow, JobStore } from './store.ts'

/** Who cancels the rest of a flow when too many of its members have failed. */
const byFlow = 'flow'

export function newFlow(flow: NewFlow, now: number): FlowRow {
  return {
    id: flow.id,
    name: flow.name,
    flow: flow.flow,
    mayFail: flow.mayFail === true,
    allowFailures: flow.allowFailures,
    stopOnFailure: flow.stopOnFailure,
    tags: flow.tags,
    meta: flow.meta,
    state: 'running',
    version: 0,
    total: 0,
    succeeded: 0,
    failed: 0,
    cancelled: 0,
    forgiven: 0,
    cancel: undefined,
    dispatchedAt: now,
    endedAt: undefined,
  }
}

/** One event of a flow, in its own history. The caller has set the state. */
export function noteFlow(
  store: JobStore,
  now: number,
  flow: FlowRow,
  type: EventType,
  data: EventData = {},
): void {
  flow.version += 1
  store.saveFlow(flow)
  store.addEvent({
    jobId: flow.id,
    version: flow.version,
    type,
    state: flow.state,
    name: flow.name ?? 'flow',
    queue: '',
    tags: flow.tags,
    at: now,
    run: 0,
    attempt: 0,
    worker: undefined,
    data,
    body: undefined,
  })
}

export function toCounts({ total, succeeded, failed, cancelled, forgiven }: FlowRow): EventData['counts'] {
  return { total, succeeded, failed, cancelled, forgiven }
}

/** What the end of a member changes in the counts of its flow. */
export function countEnd(store: JobStore, member: JobRow | FlowRow): FlowCount {
  const { state } = member
  if (!isFinal(state)) return {}
  return { [state]: 1, ...(isForgiven(store, member, state) ? { forgiven: 1 } : {}) }
}

/** A member that may fail, or was cancelled because of its flow or another member of it, does not count against the flow. */
function isForgiven(store: JobStore, member: JobRow | FlowRow, state: FinalState): boolean {
  if (state === 'succeeded') return false
  if (member.mayFail) return true
  if (state === 'failed' || member.flow === undefined) return false
  if (store.flow(member.flow)?.cancel) return true
  if ('endedAt' in member) return false
  const { cause, needs = [] } = store.eventsOf(member.id).at(-1)?.data ?? {}
  return cause === 'need' && needs.some((id) => (store.flow(id) ?? store.row(id))?.flow === member.flow)
}

/**
 * Adds to the counts of a flow that runs. If all of its members have ended, it ends. If more have failed than may, the rest is to be
 * cancelled. Returns the flow if it has ended.
 */
export function countIn(store: JobStore, now: number, id: string, count: FlowCount): FlowRow | undefined {
  const flow = store.flow(id)
  if (!flow || flow.state !== 'running') return undefined
  for (const what of ['total', 'succeeded', 'failed', 'cancelled', 'forgiven'] as const)
    flow[what] += count[what] ?? 0
  return look(store, now, flow) ? flow : undefined
}

/** Whether it has ended by that. */
export function look(store: JobStore, now: number, flow: FlowRow): boolean {
  const unforgiven = flow.failed + flow.cancelled - flow.forgiven
  const hasFailed = flow.allowFailures !== null && unforgiven > flow.allowFailures
  if (flow.succeeded + flow.failed + flow.cancelled === flow.total) {
    flow.state = findEnd(flow, hasFailed)
    flow.endedAt = now
    noteFlow(store, now, flow, 'flow_ended', { counts: toCounts(flow) })
    return true
  }
  store.saveFlow(flow)
  if (hasFailed && flow.stopOnFailure && !flow.cancel) stop(store, now, flow)
  return false
}

function findEnd({ cancel, succeeded, total }: FlowRow, hasFailed: boolean): FinalState {
  if (succeeded === total) return 'succeeded'
  if (cancel && cancel.by !== byFlow) return 'cancelled'
  if (hasFailed) return 'failed'
  return cancel ? 'cancelled' : 'succeeded'
}

/** Its members are cancelled by passes, so that no call takes long. */
function stop(store: JobStore, now: number, flow: FlowRow): void {
  flow.cancel = { by: byFlow, reason: 'more of its members have failed than may' }
  noteFlow(store, now, flow, 'flow_cancel_requested', flow.cancel)
  store.addWork({ kind: 'flow', id: flow.id, after: 0 })
}
