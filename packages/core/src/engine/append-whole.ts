import type { NewFlow } from '../job/flow.ts'
import type { NewJob } from '../job/job.ts'
import type { Appended } from '../ports/job-log.ts'
import { afterFlow } from './ends.ts'
import { look, newFlow, noteFlow, toCounts } from './flows.ts'
import { uniqueHolder } from './keys.ts'
import type { JobStore, MemberRow } from './store.ts'

/** Whether a call stores flows, members of flows or jobs with needs: such a call stores all or nothing. */
export function isWhole(jobs: readonly NewJob[], flows: readonly NewFlow[]): boolean {
  return flows.length > 0 || jobs.some(({ flow, needs }) => flow !== undefined || needs !== undefined)
}

/** What is in the way of storing these jobs: an answer for each. Undefined: nothing. */
export function findObstacles(
  store: JobStore,
  now: number,
  jobs: readonly NewJob[],
  flows: readonly NewFlow[],
): Appended[] | undefined {
  const [first] = flows
  if (first && store.flow(first.id)) return jobs.map(({ id }) => ({ id, status: 'duplicate' }))
  const known = new Set(flows.map(({ id }) => id))
  const uniques = new Map<string, string>()
  let isFree = true
  const answers = jobs.map((job): Appended => {
    const { id } = job
    const found = store.row(id) ? undefined : findObstacle(store, now, job, known, uniques)
    known.add(id)
    if (found) isFree = false
    return found ?? { id, status: 'withheld' }
  })
  return isFree ? undefined : answers
}

/** @param known flows, and earlier jobs, of the call @param uniques who takes which unique key in the call */
function findObstacle(
  store: JobStore,
  now: number,
  { id, name, flow, needs = [], unique }: NewJob,
  known: ReadonlySet<string>,
  uniques: Map<string, string>,
): Appended | undefined {
  if (flow !== undefined && !known.has(flow)) {
    const stored = store.flow(flow)
    if (!stored || stored.state !== 'running' || stored.cancel) return { id, status: 'flow-ended', flow }
  }
  const unknown = needs.find(({ on }) => !known.has(on) && !store.flow(on) && !store.row(on))
  if (unknown) return { id, status: 'unknown-need', need: unknown.on }
  if (!unique || flow === undefined) return undefined
  const key = JSON.stringify([name, unique.key])
  const holder = uniqueHolder(store, now, name, unique.key, id) ?? uniques.get(key)
  uniques.set(key, id)
  return holder === undefined ? undefined : { id: holder, status: 'duplicate' }
}

/** Stores flows, and the places of new members. One without a member ends, so that what needs it need not wait. */
export function appendFlows(
  store: JobStore,
  now: number,
  jobs: readonly NewJob[],
  flows: readonly NewFlow[],
): void {
  for (const flow of flows) {
    store.saveFlow(newFlow(flow, now))
    if (flow.flow !== undefined) addMember(store, flow.flow, { id: flow.id, isFlow: true })
  }
  for (const { id, flow } of jobs)
    if (flow !== undefined && !store.row(id)) addMember(store, flow, { id, isFlow: false })
  for (const { id } of flows) {
    const flow = store.flow(id)
    if (flow) noteFlow(store, now, flow, 'flow_dispatched', { flow: flow.flow, counts: toCounts(flow) })
  }
  // Inner ones first: they may be all that an outer one has.
  for (const { id } of flows.toReversed()) {
    const flow = store.flow(id)
    if (flow?.state === 'running' && look(store, now, flow)) afterFlow(store, now, flow, now)
  }
}

function addMember(store: JobStore, id: string, member: Omit<MemberRow, 'index'>): void {
  const flow = store.flow(id)
  if (!flow) return
  store.saveFlow({ ...flow, total: flow.total + 1 })
  store.addMember(id, member)
}
