import { isFinal } from '../job/state.ts'
import type { FinalState } from '../job/state.ts'
import { advance } from './advance.ts'
import { countEnd, countIn } from './flows.ts'
import { freeUnique, keepsKey, passKey } from './keys.ts'
import { findBody } from './needs.ts'
import { resumeCaller } from './suspend.ts'
import type { FlowRow, JobRow, JobStore } from './store.ts'

/** At most so many jobs that need one are told of its end at once. Notes do the rest. */
const mostTold = 500

interface Ended {
  readonly id: string
  readonly state: FinalState
}

/**
 * Does what follows from the ends of jobs: it frees and passes on their keys, tells the jobs that need them, and counts them in their
 * flows. A job that is cancelled by that has ended too. Returns the jobs that became ready, or have come to their limits.
 * @param inside the caller's transaction: rows of other jobs, and of flows, must not be locked for long, so it leaves notes
 */
export function afterEnds(
  store: JobStore,
  now: number,
  rows: readonly JobRow[],
  publishAfter: number,
  inside = false,
): JobRow[] {
  const ends = new Ends(store, now, publishAfter, inside)
  for (const row of rows) ends.ofJob(row)
  return ends.finish()
}

/** The same for a flow. */
export function afterFlow(store: JobStore, now: number, flow: FlowRow, publishAfter: number): JobRow[] {
  const ends = new Ends(store, now, publishAfter, false)
  ends.ofFlow(flow)
  return ends.finish()
}

/** The end of a job or a flow may not have been told to all that need it. */
export function tellEnd(store: JobStore, now: number, id: string, publishAfter: number): JobRow[] {
  const flow = store.flow(id)
  const row = flow ? undefined : store.row(id)
  const ends = new Ends(store, now, publishAfter, false)
  if (row && !isFinal(row.state)) {
    if (!row.needed) store.update(Object.assign(row, { needed: true }))
    return []
  }
  const state = flow?.state ?? row?.state
  // A job that is gone was not kept for them.
  if (state !== 'running')
    ends.tell({ id, state: state !== undefined && isFinal(state) ? state : 'cancelled' })
  return ends.finish()
}

/** Looks at a job again. */
export function lookAgain(store: JobStore, now: number, id: string, publishAfter: number): JobRow[] {
  const ends = new Ends(store, now, publishAfter, false)
  ends.look(id)
  return ends.finish()
}

/** Adds to the counts of a flow, and ends it if they say so. */
export function addCount(
  store: JobStore,
  now: number,
  ...[id, count, publishAfter]: [id: string, count: Parameters<typeof countIn>[3], publishAfter: number]
): JobRow[] {
  const ends = new Ends(store, now, publishAfter, false)
  ends.count(id, count)
  return ends.finish()
}

class Ends {
  readonly #store: JobStore
  readonly #now: number
  readonly #publishAfter: number
  readonly #inside: boolean
  readonly #moved: JobRow[] = []
  readonly #toTell: Ended[] = []
  #told = 0

  constructor(store: JobStore, now: number, publishAfter: number, inside: boolean) {
    this.#store = store
    this.#now = now
    this.#publishAfter = publishAfter
    this.#inside = inside && store.contention !== undefined
  }

  ofJob(row: JobRow): void {
    const { state } = row
    freeUnique(this.#store, this.#now, row, state === 'succeeded')
    const next = keepsKey(row) ? undefined : passKey(this.#store, this.#now, row, this.#publishAfter)
    if (next) this.#moved.push(next)
    if (!isFinal(state)) return
    if (row.flow !== undefined) this.count(row.flow, countEnd(this.#store, row))
    if (row.needed) this.tell({ id: row.id, state })
    if (row.hasNeeds && state === 'cancelled') this.#cancelCalled(row.id)
  }

  /** What a cancelled job has called is of use to nobody. */
  #cancelCalled(caller: string): void {
    for (const { on, mode, state } of this.#store.needsOf(caller))
      if (mode === 'called' && state === undefined) this.#store.addWork({ kind: 'caller', id: on, caller })
  }

  ofFlow(flow: FlowRow): void {
    if (isFinal(flow.state)) this.tell({ id: flow.id, state: flow.state })
    if (flow.flow !== undefined) this.count(flow.flow, countEnd(this.#store, flow))
  }

  count(id: string, count: Parameters<typeof countIn>[3]): void {
    if (this.#inside || this.#store.contention?.flowIsLocked(id))
      return this.#store.addWork({ kind: 'count', id, count })
    const ended = countIn(this.#store, this.#now, id, count)
    if (ended) this.ofFlow(ended)
  }

  tell(ended: Ended): void {
    if (this.#inside || this.#told >= mostTold) this.#store.addWork({ kind: 'ended', id: ended.id })
    else this.#toTell.push(ended)
  }

  look(id: string): void {
    if (this.#store.contention?.jobIsLocked(id)) return this.#store.addWork({ kind: 'job', id })
    const row = this.#store.row(id)
    if (!row) return
    const found =
      row.state === 'suspended'
        ? resumeCaller(this.#store, this.#now, row, this.#publishAfter)
        : advance(this.#store, this.#now, row, this.#publishAfter)
    if (found === 'gated') this.#moved.push(row)
    if (found === 'cancelled') this.ofJob(row)
  }

  finish(): JobRow[] {
    for (let ended = this.#toTell.shift(); ended; ended = this.#toTell.shift()) this.#tellOne(ended)
    return this.#moved
  }

  #tellOne({ id, state }: Ended): void {
    const room = Math.max(1, mostTold - this.#told)
    const needs = this.#store.openNeeds(id, room)
    this.#told += needs.length
    for (const need of needs) {
      const body = need.isFlow ? undefined : findBody(this.#store, id, need.name)
      this.#store.saveNeed({ ...need, state, body })
    }
    for (const child of new Set(needs.map((need) => need.child))) this.look(child)
    if (needs.length === room) this.#store.addWork({ kind: 'ended', id })
  }
}
