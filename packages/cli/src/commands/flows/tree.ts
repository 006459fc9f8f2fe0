import type { Errand, FlowMemberInfo, JobDetails, NeedInfo, WaitDetails } from '@errand/core'
import { jobLimitText } from '../../output/limit-text.ts'
import { relative } from '../../output/times.ts'

/** A member, or a job that needs the flow, as a line of the tree. */
export interface Branch {
  readonly id: string
  /** 0: of the flow itself. */
  readonly depth: number
  readonly isFlow: boolean
  readonly name: string
  readonly state: string
  /** Why it waits, or how it ended. */
  readonly why: string
}

export interface Tree {
  readonly branches: readonly Branch[]
  /** There are more members than are shown. */
  readonly more: boolean
}

/** The members of a flow and of the flows in it, at most `limit`, and then the unfinished jobs that need the flow. */
export async function readTree(errand: Errand, flow: string, limit: number): Promise<Tree> {
  const found: { readonly member: FlowMemberInfo; readonly depth: number }[] = []
  let more = false

  async function walk(id: string, depth: number): Promise<void> {
    for await (const member of errand.flows.members(id)) {
      more ||= found.length >= limit
      if (more) return
      found.push({ member, depth })
      if (member.isFlow) await walk(member.id, depth + 1)
    }
  }
  await walk(flow, 0)

  const names = new Map(found.map(({ member }) => [member.id, nameOf(member)]))
  names.set(flow, 'this flow')
  const branches: Branch[] = []
  for (const { member, depth } of found) {
    const { id, isFlow, state } = member
    const why = isFlow ? '' : await explain(errand, id, names)
    branches.push({ id, depth, isFlow, name: nameOf(member), state, why })
  }
  for (const id of await errand.jobs.neededBy(flow)) {
    const job = await errand.jobs.get(id)
    if (!job) continue
    const needs = await errand.jobs.needs(id)
    const callback = needs.find(({ on, name }) => on === flow && name !== undefined)?.name
    const why = await whyItWaits(errand, job, needs, names)
    branches.push({
      id,
      depth: 0,
      isFlow: false,
      name: callback === undefined ? `${job.name}, which needs this flow` : `${callback}: ${job.name}`,
      state: job.state,
      why,
    })
  }
  return { branches, more }
}

function nameOf({ name, isFlow }: FlowMemberInfo): string {
  return name ?? (isFlow ? 'flow' : '')
}

async function explain(errand: Errand, id: string, names: ReadonlyMap<string, string>): Promise<string> {
  const job = await errand.jobs.get(id)
  if (!job) return ''
  return whyItWaits(errand, job, job.waitsForNeeds ? await errand.jobs.needs(id) : [], names)
}

async function whyItWaits(
  errand: Errand,
  job: JobDetails,
  needs: readonly NeedInfo[],
  names: ReadonlyMap<string, string>,
): Promise<string> {
  switch (job.state) {
    case 'blocked': {
      if (job.waitsForNeeds) return `waits for ${listNeeds(needs, names)}`
      if (job.limit?.waits) return `limit ${await jobLimitText(errand, job.limit)}`
      return job.orderingKey === undefined ? '' : `waits for its turn at key ${job.orderingKey}`
    }
    case 'scheduled': {
      const due = job.runAt ? `due ${relative(job.runAt.getTime(), Date.now())}` : ''
      return [due, job.waitsForNeeds ? `waits for ${listNeeds(needs, names)}` : '', job.error?.message]
        .filter(Boolean)
        .join(' · ')
    }
    case 'running':
      return job.cancelRequested ? 'to be cancelled' : `on worker ${job.worker ?? '?'}`
    case 'ready':
      return 'waits for a worker'
    case 'failed':
      return job.error?.message ?? ''
    case 'suspended':
      return listWaits(job, (await errand.jobs.memory(job.id)).waits)
    case 'succeeded':
    case 'cancelled':
    case 'unknown':
      return ''
    default:
      return job.state satisfies never
  }
}

const mostNamed = 3

/** `approval and label · again in 2d`. */
function listWaits({ runAt }: JobDetails, waits: readonly WaitDetails[]): string {
  const named = waits.slice(0, mostNamed).map(({ name }) => name)
  const rest = waits.length - named.length
  const all = `waits for ${named.join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`
  return runAt ? `${all} · again ${relative(runAt.getTime(), Date.now())}` : all
}

/** The needs that are open: `render-page, count-sales and 4 more`. */
export function listNeeds(needs: readonly NeedInfo[], names: ReadonlyMap<string, string>): string {
  const open = needs.filter(({ state }) => state === undefined)
  const named = open
    .slice(0, mostNamed)
    .map(({ on, isFlow }) => names.get(on) ?? `${isFlow ? 'flow' : 'job'} ${on}`)
  const rest = open.length - named.length
  return rest > 0 ? `${named.join(', ')} and ${rest} more` : named.join(', ')
}
