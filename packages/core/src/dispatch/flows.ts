import type { FlowBody } from '../define/flow-body.ts'
import type { RequestOfJob } from '../define/job.ts'
import { checkId } from '../ids.ts'
import type { NewJob } from '../job/job.ts'
import type { Ticket } from '../job/ticket.ts'
import { toJson } from '../json.ts'
import { checkOneOf, checkOptions } from '../options.ts'
import type { Appended, AppendOptions, JobLog } from '../ports/job-log.ts'
import type { Transaction } from '../ports/transaction.ts'
import { checkSize, mostInFlow, planFlow, sortJobs } from './plan.ts'
import type { Plan, PlannedJob } from './plan.ts'
import { prepare } from './prepare.ts'
import type { PrepareDeps } from './prepare.ts'
import { checkRequest, prepareAll } from './prepare-all.ts'
import type { DispatchFlowOptions, DispatchRequest, FlowReceipt, Parent, Receipt } from './request.ts'
import { leaveOut, storeTogether } from './together.ts'
import type { Holders } from './together.ts'
import { checkTransaction } from './transaction.ts'

export interface FlowDispatchParts {
  /** In a call of its own: others must not wait for what a flow waits for. */
  append(jobs: readonly NewJob[], options: AppendOptions): Promise<readonly Appended[]>
  announceIn(tx: Transaction | undefined, tickets: readonly Ticket[]): Promise<void>
  log(): Promise<Pick<JobLog, 'mostInFlow'>>
}

const optionNames: readonly string[] = ['id', 'tx', 'onDuplicate']
const childOptionNames: readonly string[] = [...optionNames, 'once', 'each']

/**
 * Stores all of a flow or none of it.
 * @throws what `planFlow`, `sortJobs`, `prepareAll` and `storeTogether` throw
 */
export async function dispatchFlow(
  body: FlowBody,
  options: DispatchFlowOptions,
  parent: Parent | undefined,
  deps: PrepareDeps,
  parts: FlowDispatchParts,
): Promise<FlowReceipt<unknown>> {
  checkOptions('dispatch() options of a flow', options, parent ? childOptionNames : optionNames)
  const { tx, onDuplicate = 'refuse' } = options
  checkOneOf('onDuplicate', onDuplicate, ['refuse', 'skip'])
  if (tx !== undefined) checkTransaction(tx)
  const plan = planFor(body, options, parent, deps)
  checkSize(plan.jobs.length + plan.flows.length - 1, (await parts.log()).mostInFlow ?? mostInFlow)
  // Sorted before anything is encoded: a cycle is refused whatever the payloads are.
  sortJobs(plan.flows, plan.jobs)
  const requests = plan.jobs.map(({ request }) => request)
  const prepared = await prepareAll(requests, (_, index) =>
    preparePlanned(plan.jobs[index] as PlannedJob, parent, tx, deps),
  )
  const byId = new Map(prepared.map((job) => [job.id, job]))
  const { jobs, appended, holders } = await storeTogether({
    without: (some) => arrange(plan, byId, some),
    append: (all) => parts.append(all, { tx, flows: markMayFail(plan) }),
    skip: onDuplicate === 'skip',
  })
  const isDuplicate = jobs.length > 0 && appended.every(({ status }) => status === 'duplicate')
  if (!isDuplicate) await parts.announceIn(tx, pickTickets(appended))
  return {
    kind: 'flow',
    id: plan.id,
    status: isDuplicate ? 'duplicate' : 'added',
    skipped: [...new Set(holders.values())],
  }
}

function planFor(
  body: FlowBody,
  { id }: DispatchFlowOptions,
  parent: Parent | undefined,
  { newId, meta }: PrepareDeps,
): Plan {
  const all = { ...parent?.meta, ...meta }
  if (id !== undefined) return planFlow(body, { flow: checkId(id), next: newId }, all)
  if (!parent?.childId) return planFlow(body, { flow: newId(), next: newId }, all)
  const json = JSON.stringify(listPayloads(body))
  const flow = parent.childId({
    name: `flow ${body.name ?? ''}`,
    orderingKey: undefined,
    uniqueKey: undefined,
    json,
  })
  // Only the flow's id says whether it is stored, so those of its jobs may be any.
  return planFlow(body, { flow, next: newId }, all)
}

/** What makes one flow of a handler the same as that of an earlier run: its jobs and their payloads. */
function listPayloads({ nodes }: FlowBody): readonly unknown[] {
  return nodes.map((node) =>
    node.kind === 'flow' ? listPayloads(node.body) : [node.request.job.name, payloadText(node.request)],
  )
}

/** A payload that JSON cannot carry is refused later, with its index. */
function payloadText({ payload }: RequestOfJob): string {
  const json = payload === undefined ? undefined : toJson(payload, 'payload')
  return json && 'text' in json ? json.text : ''
}

function preparePlanned(
  { id, request, meta, tags }: PlannedJob,
  parent: Parent | undefined,
  tx: Transaction | undefined,
  deps: PrepareDeps,
): NewJob | Promise<NewJob> {
  const { job, payload, options = {} } = request
  const all = {
    ...options,
    id,
    tags: [...tags, ...(options.tags ?? [])],
    ...(tx === undefined ? {} : { tx }),
  }
  return prepare({ job, payload, options: all }, parent, { ...deps, meta }, true)
}

/** The jobs as the log takes them: each after what it needs. */
function arrange(plan: Plan, prepared: ReadonlyMap<string, NewJob>, holders: Holders): readonly NewJob[] {
  const mayFail = listMayFail(plan)
  const planned = plan.jobs
    .filter(({ id }) => !holders.has(id))
    .map((job) => ({
      ...job,
      needs: job.needs.map((need) => ({ ...need, on: holders.get(need.on) ?? need.on })),
    }))
  return sortJobs(plan.flows, planned).flatMap((job) => {
    const made = prepared.get(job.id)
    if (!made) return []
    return {
      ...made,
      ...(job.flow === undefined ? {} : { flow: job.flow }),
      ...(job.needs.length === 0 ? {} : { needs: job.needs }),
      ...(mayFail.has(job.id) ? { mayFail: true } : {}),
    }
  })
}

function markMayFail(plan: Plan): Plan['flows'] {
  const mayFail = listMayFail(plan)
  return plan.flows.map((flow) => (mayFail.has(flow.id) ? { ...flow, mayFail: true } : flow))
}

/** Members that may fail: those that say so, and those that another one needs however they end. */
function listMayFail({ jobs }: Plan): ReadonlySet<string> {
  const ids = new Set(jobs.filter(({ mayFail }) => mayFail).map(({ id }) => id))
  for (const { flow, needs } of jobs) {
    if (flow !== undefined) for (const { on, mode } of needs) if (mode === 'ended') ids.add(on)
  }
  return ids
}

/**
 * Adds members to a flow that runs.
 * @param parentOf the parent that gives a request its id
 * @throws what `prepareAll` and `storeTogether` throw
 */
export async function addToFlow(
  flow: string,
  requests: readonly RequestOfJob[],
  tx: Transaction | undefined,
  parentOf: (index: number) => Parent,
  deps: PrepareDeps,
  parts: FlowDispatchParts,
): Promise<readonly Receipt<unknown>[]> {
  if (tx !== undefined) checkTransaction(tx)
  checkSize(requests.length, (await parts.log()).mostInFlow ?? mostInFlow)
  const jobs = await prepareAll(requests, (request, index) => {
    const { job, payload, options } = checkRequest(`request ${index}`, request)
    const all: DispatchRequest['options'] = tx === undefined ? options : { ...options, tx }
    const prepared = prepare({ job, payload, options: all }, parentOf(index), deps)
    return prepared instanceof Promise ? prepared.then((made) => ({ ...made, flow })) : { ...prepared, flow }
  })
  return storeMany(jobs, tx, false, parts)
}

/** Stores jobs of which some have needs. With `skip` a duplicate of a live job is answered as one, and the others are stored. */
export async function storeMany(
  all: readonly NewJob[],
  tx: Transaction | undefined,
  skip: boolean,
  parts: FlowDispatchParts,
): Promise<readonly Receipt<unknown>[]> {
  if (all.length === 0) return []
  const { jobs, appended, holders } = await storeTogether({
    without: (some) => leaveOut(all, some),
    append: async (some) => (some.length === 0 ? [] : parts.append(some, { tx })),
    skip,
  })
  const answers = new Map(jobs.map((job, index) => [job.id, appended[index]]))
  await parts.announceIn(tx, pickTickets(appended))
  return all.map(({ id }) => {
    const isAdded = answers.get(id)?.status === 'added'
    return { id: holders.get(id) ?? id, status: isAdded ? 'added' : 'duplicate' }
  })
}

export function pickTickets(appended: readonly (Appended | undefined)[]): readonly Ticket[] {
  return appended.flatMap((each) => (each?.status === 'added' && each.ticket ? [each.ticket] : []))
}
