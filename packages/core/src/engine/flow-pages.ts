import { isFinal, knownState } from '../job/state.ts'
import type { FlowMember, FlowRecord, MemberEnd, NeedRecord } from '../ports/flows.ts'
import { findBody } from './needs.ts'
import type { FlowRow, JobStore } from './store.ts'

interface Page {
  readonly limit: number
  readonly after?: number | undefined
}

export function toRecord({ mayFail: _mayFail, version: _version, ...record }: FlowRow): FlowRecord {
  return record
}

export function flowMembers(store: JobStore, flow: string, { limit, after = 0 }: Page): FlowMember[] {
  return store.members(flow, after, limit).flatMap(({ index, id, isFlow }) => {
    const found = isFlow ? store.flow(id) : store.row(id)
    return found ? [{ index, id, isFlow, name: found.name, state: knownState(found.state) }] : []
  })
}

export function memberEnds(
  store: JobStore,
  flow: string,
  { limit, after = 0 }: Page,
): { readonly ends: MemberEnd[]; readonly next: number | undefined } {
  const members = store.members(flow, after, limit)
  const ends = members.flatMap(({ index, id, isFlow }): MemberEnd[] => {
    const state = isFlow ? undefined : store.row(id)?.state
    return state !== undefined && isFinal(state) ? [{ index, id, state, body: findBody(store, id, '') }] : []
  })
  return { ends, next: members.length === limit ? members.at(-1)?.index : undefined }
}

export function needs(store: JobStore, job: string): NeedRecord[] {
  return store.needsOf(job).map(({ on, isFlow, mode, name, state, body }) => ({
    on,
    isFlow,
    mode,
    name,
    state,
    body,
  }))
}

export function neededBy(store: JobStore, id: string, limit: number): string[] {
  return store.childrenOf(id, limit).filter((child) => {
    const state = store.row(child)?.state
    return state !== undefined && !isFinal(state)
  })
}
