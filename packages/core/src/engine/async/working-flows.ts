import type { JobStore, MemberRow, NeedRow } from '../store.ts'
import type { Changes } from './changes.ts'
import { formatQuestion } from './known.ts'
import type { Answers, Question, QuestionKind, QuestionOf } from './questions.ts'

type Ask = <K extends QuestionKind>(question: QuestionOf<K>, others?: () => readonly Question[]) => Answers[K]

/** Places of new members until they are stored: behind all others. */
const firstNewPlace = 2 ** 52

/** The part of a working set that has needs, flows and what is left for later. */
export function flowsOf(
  ask: Ask,
  made: Changes,
  changing: () => Changes,
  related: () => readonly Question[],
): Pick<
  JobStore,
  | 'needsOf'
  | 'openNeeds'
  | 'saveNeed'
  | 'removeNeeds'
  | 'flow'
  | 'saveFlow'
  | 'addMember'
  | 'members'
  | 'removeFlow'
  | 'addWork'
  | 'hasAddedWork'
  | 'takeWork'
> {
  const keyOf = ({ child, index }: NeedRow): string => formatQuestion([child, index])
  const changed = (matches: (need: NeedRow) => boolean): NeedRow[] => [...made.needs.values()].filter(matches)
  return {
    needsOf(child) {
      const own = changed((need) => need.child === child)
      const stored = ask(['needsOf', child], related)
      const needs = new Map([...stored, ...own].map((need) => [need.index, { ...need }]))
      return [...needs.values()].toSorted((a, b) => a.index - b.index)
    },
    openNeeds(on, limit) {
      const own = changed((need) => need.on === on)
      const stored = ask(['openNeeds', on, limit + own.length])
      const needs = new Map([...stored, ...own].map((need) => [keyOf(need), { ...need }]))
      return [...needs.values()].filter(({ state }) => state === undefined).slice(0, limit)
    },
    saveNeed: (need) => void changing().needs.set(keyOf(need), { ...need }),
    removeNeeds: (child) => void changing().needsRemoved.add(child),
    flow(id) {
      const row = made.flows.has(id) ? made.flows.get(id) : ask(['flow', id], related).row
      return row && { ...row }
    },
    saveFlow: (flow) => void changing().flows.set(flow.id, { ...flow }),
    addMember: (flow, member) => void changing().members.push({ ...member, flow }),
    members(flow, after, limit) {
      const own = made.members.flatMap((member, at): (MemberRow & { flow: string })[] =>
        member.flow === flow ? [{ ...member, index: firstNewPlace + at }] : [],
      )
      return [...ask(['members', flow, after, limit]), ...own].slice(0, limit)
    },
    removeFlow: (id) => void changing().flows.set(id, undefined),
    addWork: (work) => void changing().work.push(work),
    hasAddedWork: () => made.work.length > 0,
    takeWork(limit) {
      const work = ask(['work', limit])
      if (work.length > 0) changing().workTaken.push(...work)
      return work
    },
  }
}
