import { isFinal } from '../job/state.ts'
import type { FlowRecord, Flows } from '../ports/flows.ts'
import type { Note } from '../ports/operations.ts'
import { cancelMembers, requestEnd } from './cancel.ts'
import { afterFlow } from './ends.ts'
import { countEnd, look, noteFlow } from './flows.ts'
import { toRecord } from './flow-pages.ts'
import { toCancelReport } from './operate.ts'
import { replayRows, uncount } from './replay.ts'
import { findTickets } from './tickets.ts'
import type { FlowCount, FlowRow, JobRow, JobStore } from './store.ts'

type Answer<K extends keyof Flows> = Awaited<ReturnType<Flows[K]>>

const everyMember = Number.MAX_SAFE_INTEGER

export function readFlow(store: JobStore, id: string): FlowRecord | undefined {
  const flow = store.flow(id)
  return flow && toRecord(flow)
}

export function cancelFlow(store: JobStore, now: number, id: string, note: Note): Answer<'cancelFlow'> {
  const flow = store.flow(id)
  const nothing = { cancelled: 0, requested: 0, workers: [], tickets: [], more: false }
  if (!flow) return { ...nothing, status: 'unknown' }
  if (flow.state !== 'running') return { ...nothing, status: 'ended' }
  // A second one asks nobody twice; it only looks whether more is to be done.
  const isFirst = requestEnd(store, now, id, note)
  if (!isFirst) return { ...nothing, status: 'cancelling', more: false }
  const { more, ...cancelled } = cancelMembers(store, now, id, 0, now)
  return { ...toCancelReport(store, now, cancelled), status: 'cancelling', more }
}

/** What is to be started anew of a flow and the flows in it. */
interface Again {
  readonly flows: FlowRow[]
  readonly jobs: JobRow[]
}

export function replayFlow(store: JobStore, now: number, id: string, note: Note): Answer<'replayFlow'> {
  const flow = store.flow(id)
  const nothing = { replayed: 0, tickets: [] }
  if (!flow) return { ...nothing, status: 'unknown' }
  if (flow.state === 'running') return { ...nothing, status: 'running' }
  const again = findAgain(store, flow, { flows: [], jobs: [] })
  const dependants = findDependants(store, again)
  if (dependants.some(({ state }) => !isFinal(state) && state !== 'blocked' && state !== 'scheduled'))
    return { ...nothing, status: 'callbacks-run' }
  if (flow.flow !== undefined) uncount(store, now, flow)
  for (const each of again.flows) restart(store, now, each, note)
  for (const row of dependants) if (row.atLimit) store.update(Object.assign(row, { atLimit: false }))
  const ended = dependants.filter(({ state }) => isFinal(state))
  for (const row of ended) if (row.flow !== undefined) uncount(store, now, row)
  const { replayed, tickets } = replayRows(store, now, [...again.jobs, ...ended], note, {
    recounted: new Set(again.flows.map((each) => each.id)),
  })
  // Inner ones first. One in which nothing starts anew ends again at once.
  const moved = again.flows.toReversed().flatMap((each) => recount(store, now, each))
  const more = findTickets(store, now, moved)
  return { status: 'replayed', replayed: replayed - ended.length, tickets: [...tickets, ...more] }
}

/** Jobs that need one of the flows and are a member of none of them, such as callbacks. */
function findDependants(store: JobStore, { flows }: Again): JobRow[] {
  const own = new Set<string | undefined>(flows.map(({ id }) => id))
  const ids = new Set(flows.flatMap(({ id }) => store.childrenOf(id, everyMember)))
  return [...ids].flatMap((id) => store.row(id) ?? []).filter((row) => !own.has(row.flow))
}

function findAgain(store: JobStore, flow: FlowRow, again: Again): Again {
  again.flows.push(flow)
  for (const member of store.members(flow.id, 0, everyMember)) {
    const [row, inner] = member.isFlow
      ? [undefined, store.flow(member.id)]
      : [store.row(member.id), undefined]
    if (row && (row.state === 'failed' || row.state === 'cancelled')) again.jobs.push(row)
    if (inner && (inner.state === 'failed' || inner.state === 'cancelled')) findAgain(store, inner, again)
  }
  return again
}

function restart(store: JobStore, now: number, flow: FlowRow, note: Note): void {
  Object.assign(flow, { state: 'running', endedAt: undefined, cancel: undefined })
  Object.assign(flow, { succeeded: 0, failed: 0, cancelled: 0, forgiven: 0 })
  noteFlow(store, now, flow, 'flow_replayed', { by: note.by, reason: note.reason })
  for (const child of store.childrenOf(flow.id, everyMember))
    for (const need of store.needsOf(child))
      if (need.on === flow.id) store.saveNeed({ ...need, state: undefined, body: undefined })
}

/** Counts are taken anew: a member may have been replayed alone since the flow ended. Returns the jobs that its end lets go. */
function recount(store: JobStore, now: number, { id }: FlowRow): JobRow[] {
  const flow = store.flow(id)
  // It may have ended with an inner one.
  if (flow?.state !== 'running') return []
  const sum = { succeeded: 0, failed: 0, cancelled: 0, forgiven: 0 }
  for (const member of store.members(id, 0, everyMember)) {
    const found = member.isFlow ? store.flow(member.id) : store.row(member.id)
    const count: FlowCount = found ? countEnd(store, found) : {}
    for (const what of ['succeeded', 'failed', 'cancelled', 'forgiven'] as const)
      sum[what] += count[what] ?? 0
  }
  Object.assign(flow, sum)
  return look(store, now, flow) ? afterFlow(store, now, flow, now) : []
}
