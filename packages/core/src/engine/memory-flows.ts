import { isFinal } from '../job/state.ts'
import type { FinalState } from '../job/state.ts'
import type { FlowFilter } from '../ports/flows.ts'
import { MemorySteps } from './memory-steps.ts'
import type { FlowRow, JobRow, MemberRow, NeedRow, Work } from './store.ts'

/** The part of the reference store that has needs, flows and what is left for later. */
export abstract class MemoryFlows extends MemorySteps {
  readonly #needs = new Map<string, NeedRow[]>()
  readonly #flows = new Map<string, FlowRow>()
  readonly #members = new Map<string, MemberRow[]>()
  #work: Work[] = []

  abstract row(id: string): JobRow | undefined

  needsOf(child: string): NeedRow[] {
    return (this.#needs.get(child) ?? []).map((need) => ({ ...need }))
  }
  openNeeds(on: string, limit: number): NeedRow[] {
    return this.#needsOn(on)
      .filter(({ state }) => state === undefined)
      .slice(0, limit)
      .map((need) => ({ ...need }))
  }
  childrenOf(on: string, limit: number): string[] {
    return [...new Set(this.#needsOn(on).map(({ child }) => child))].slice(0, limit)
  }
  #needsOn(on: string): NeedRow[] {
    return [...this.#needs.values()].flat().filter((need) => need.on === on)
  }
  saveNeed(need: NeedRow): void {
    const others = (this.#needs.get(need.child) ?? []).filter(({ index }) => index !== need.index)
    this.#needs.set(
      need.child,
      [...others, need].toSorted((a, b) => a.index - b.index),
    )
  }
  removeNeeds(child: string): void {
    this.#needs.delete(child)
  }

  flow(id: string): FlowRow | undefined {
    const flow = this.#flows.get(id)
    return flow && { ...flow }
  }
  flows({ state, name }: FlowFilter, limit: number, after: string | undefined): FlowRow[] {
    const all = [...this.#flows.values()].toReversed()
    const from = after === undefined ? 0 : all.findIndex(({ id }) => id === after) + 1
    return all
      .slice(from)
      .filter((flow) => state === undefined || flow.state === state)
      .filter((flow) => name === undefined || flow.name === name)
      .slice(0, limit)
  }
  saveFlow(flow: FlowRow): void {
    this.#flows.set(flow.id, { ...flow })
  }
  addMember(flow: string, member: Omit<MemberRow, 'index'>): void {
    let members = this.#members.get(flow)
    if (!members) this.#members.set(flow, (members = []))
    members.push({ ...member, index: (members.at(-1)?.index ?? 0) + 1 })
  }
  members(flow: string, after: number, limit: number): MemberRow[] {
    return (this.#members.get(flow) ?? []).filter(({ index }) => index > after).slice(0, limit)
  }
  endedFlows(states: readonly FinalState[], until: number, limit: number): FlowRow[] {
    return [...this.#flows.values()]
      .filter(({ flow, state }) => flow === undefined && isFinal(state) && states.includes(state))
      .filter(({ endedAt = Infinity }) => endedAt <= until)
      .filter(({ id }) => !this.childrenOf(id, Infinity).some((child) => this.#isUnfinished(child)))
      .slice(0, limit)
  }
  #isUnfinished(id: string): boolean {
    const state = this.row(id)?.state
    return state !== undefined && !isFinal(state)
  }
  removeFlow(id: string): void {
    this.#flows.delete(id)
    this.#members.delete(id)
  }

  addWork(work: Work): void {
    this.#work.push(work)
  }
  hasAddedWork(): boolean {
    return this.#work.length > 0
  }
  firstWork(limit: number): Work[] {
    return this.#work.slice(0, limit)
  }
  takeWork(limit: number): Work[] {
    return this.#work.splice(0, limit)
  }
}
