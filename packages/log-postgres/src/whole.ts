import type { Appended, NewFlow, NewJob } from '@errand/core/ports'
import type { Value } from './database.ts'
import { arrayLiteral, isStorable, isUuid } from './literals.ts'

/** What the jobs of a call know of each other. The call stores all or nothing. */
export interface Whole {
  readonly flows: readonly NewFlow[]
  /** Of members, also inner flows, in a flow of the same call: from 1 on. */
  readonly places: ReadonlyMap<string, number>
  /** Ids that jobs of the call need. */
  readonly needed: ReadonlySet<string>
}

/** Undefined: each of the jobs is stored by itself. */
export function toWhole(jobs: readonly NewJob[], flows: readonly NewFlow[]): Whole | undefined {
  if (flows.length === 0 && !jobs.some(({ flow, needs }) => flow !== undefined || needs !== undefined))
    return undefined
  const counts = new Map(flows.map(({ id }) => [id, 0]))
  const places = new Map<string, number>()
  for (const { id, flow } of [...flows, ...jobs]) {
    const count = flow === undefined ? undefined : counts.get(flow)
    if (flow === undefined || count === undefined) continue
    places.set(id, count + 1)
    counts.set(flow, count + 1)
  }
  const needed = new Set(jobs.flatMap(({ needs = [] }) => needs.map(({ on }) => on)))
  return { flows, places, needed }
}

/** What no log can have: an answer for each job. Undefined: there is nothing of that. */
export function findImpossible(jobs: readonly NewJob[]): readonly Appended[] | undefined {
  const answers = jobs.map(({ id, flow, needs = [] }): Appended => {
    if (flow !== undefined && !isUuid(flow)) return { id, status: 'flow-ended', flow }
    const need = needs.find(({ on }) => !isUuid(on))
    return need ? { id, status: 'unknown-need', need: need.on } : { id, status: 'withheld' }
  })
  return answers.some(({ status }) => status !== 'withheld') ? answers : undefined
}

export function unstorableFlow({ id, flow, name, tags }: NewFlow): string | undefined {
  if (!isUuid(id)) return `its id ${JSON.stringify(id)} is not a UUID`
  if (flow !== undefined && !isUuid(flow)) return `its flow ${JSON.stringify(flow)} is not a UUID`
  if (isStorable(name ?? '') && tags.every(isStorable)) return undefined
  return 'its name or a tag holds a NUL or half of a surrogate pair'
}

export const appendFlowsCount = 18

/** The parameters of `append_flows`. */
export function appendFlowsParameters(
  jobs: readonly NewJob[],
  { flows, places }: Whole,
  lockTimeout: string | null,
): Extract<Value, string | null>[] {
  const own = new Set([...flows, ...jobs].map(({ id }) => id))
  const needs = jobs.flatMap(({ needs: all = [] }, index) =>
    all.filter(({ on }) => !own.has(on)).map(({ on }) => ({ on, job: index + 1 })),
  )
  return [
    arrayLiteral(jobs.map(({ id }) => id)),
    arrayLiteral(jobs.map(({ name, unique }) => unique && name)),
    arrayLiteral(jobs.map(({ unique }) => unique?.key)),
    arrayLiteral(jobs.map(({ queue, ordering }) => ordering && queue)),
    arrayLiteral(jobs.map(({ ordering }) => ordering?.key)),
    arrayLiteral(jobs.map(({ flow }) => flow)),
    arrayLiteral(needs.map(({ job }) => job)),
    arrayLiteral(needs.map(({ on }) => on)),
    arrayLiteral(flows.map(({ id }) => id)),
    arrayLiteral(flows.map(({ flow }) => flow)),
    arrayLiteral(flows.map(({ name }) => name)),
    arrayLiteral(flows.map(({ allowFailures }) => allowFailures)),
    arrayLiteral(flows.map(({ stopOnFailure }) => stopOnFailure)),
    arrayLiteral(flows.map(({ mayFail }) => (mayFail === true ? true : null))),
    arrayLiteral(flows.map(({ tags }) => (tags.length === 0 ? null : arrayLiteral(tags)))),
    arrayLiteral(flows.map(({ meta }) => (Object.keys(meta).length === 0 ? null : JSON.stringify(meta)))),
    arrayLiteral(flows.map(({ id }) => places.get(id))),
    lockTimeout,
  ]
}
