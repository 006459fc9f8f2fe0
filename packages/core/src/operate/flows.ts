import { ErrandError } from '../errors.ts'
import { checkId } from '../ids.ts'
import type { FlowState } from '../job/flow.ts'
import type { StoredState } from '../job/state.ts'
import { isFinal } from '../job/state.ts'
import { checkInteger, checkOneOf, checkOptions, describe } from '../options.ts'
import type { FlowFilter, FlowRecord } from '../ports/flows.ts'
import type { OperateDeps } from './connection.ts'
import { toNote } from './filter.ts'
import { flowInfo } from './flow-info.ts'
import type { FlowInfo } from './flow-info.ts'
import { followFlow } from './flow-watch.ts'
import type { By } from './jobs.ts'
import { listing, mostListed } from './listing.ts'
import type { Listing } from './listing.ts'
import { notifyWorkers } from './notify-workers.ts'
import { publishTickets } from './publish-tickets.ts'

/** A member of a flow: a job, or an inner flow. */
export interface FlowMemberInfo {
  /** Its place in the flow: it only grows, and may leave numbers out. */
  readonly index: number
  readonly id: string
  readonly isFlow: boolean
  /** Of the job, or of the flow if that has one. */
  readonly name?: string
  readonly state: StoredState
}

/** Jobs that were dispatched as one whole. The command line has the same verbs: `errand flows cancel` is `errand.flows.cancel`. */
export interface Flows {
  /** The flow, or undefined. @throws `E_ID` */
  get(id: string): Promise<FlowInfo | undefined>
  /**
   * Flows, newest dispatch first, inner ones too. `after` is the id of the last one seen.
   * @throws `E_OPTION` @example const running = await errand.flows.list({ state: 'running', limit: 20 })
   */
  list(filter?: {
    readonly state?: FlowState | undefined
    readonly name?: string | undefined
    readonly limit?: number | undefined
    readonly after?: string | undefined
  }): Listing<FlowInfo>
  /** Its members, in the order of their indexes; those of inner flows are not among them. @throws `E_ID`, `E_OPTION` */
  members(
    id: string,
    options?: { readonly limit?: number | undefined; readonly after?: number | undefined },
  ): Listing<FlowMemberInfo>
  /**
   * The flow as it is now, and again whenever its counts have changed, until it has ended.
   * @throws `E_NOT_FOUND`, `E_LOG_UNREACHABLE`
   * @example for await (const { ended, total } of errand.flows.follow(id)) bar(ended / total)
   */
  follow(id: string, options?: { readonly signal?: AbortSignal | undefined }): AsyncIterable<FlowInfo>
  /**
   * Cancels what waits in it and in its inner flows, and asks what runs to end. Resolves with how many jobs there were, as far as it
   * has seen. A flow that has ended is not changed.
   * @throws `E_NOT_FOUND`, `E_OPTION` without `by`
   */
  cancel(id: string, options: By): Promise<number>
  /**
   * Starts the failed and cancelled members of a flow that has ended again; those that have succeeded stay. Its callbacks wait for it
   * again. Resolves with how many members; `dryRun` only counts.
   * @throws `E_NOT_FOUND`; `E_NOT_ALLOWED` while it runs, or while one of its callbacks does
   */
  replay(id: string, options: By & { readonly dryRun?: boolean | undefined }): Promise<number>
}

const flowStates: readonly FlowState[] = ['running', 'succeeded', 'failed', 'cancelled']
/** Flows or members in one page. */
const pageSize = 200

export function createFlows(deps: OperateDeps): Flows {
  return {
    async get(id) {
      const log = await deps.connectedLog()
      const record = await log.readFlow(checkId(id))
      return record && flowInfo(record)
    },

    list(filter = {}) {
      checkOptions('flows.list()', filter, ['state', 'name', 'limit', 'after'])
      const { limit = mostListed, after, ...which } = filter
      const checked = flowFilter(which)
      const most = checkInteger('limit', limit, 1, mostListed)
      const from = after === undefined ? undefined : checkId(after)
      return listing('flows', () => listFlows(deps, checked, most, from), filter.limit)
    },

    members(id, options = {}) {
      checkOptions('flows.members()', options, ['limit', 'after'])
      const { limit = mostListed, after } = options
      const most = checkInteger('limit', limit, 1, mostListed)
      const from = after === undefined ? undefined : checkInteger('after', after, 0, Number.MAX_SAFE_INTEGER)
      const flow = checkId(id)
      return listing('members', () => listMembers(deps, flow, most, from), options.limit)
    },

    follow(id, options = {}) {
      checkOptions('flows.follow()', options, ['signal'])
      return followFlow(deps, checkId(id), options.signal)
    },

    async cancel(id, options) {
      const note = toNote('flows.cancel()', options)
      const { log } = await deps.connected()
      const flow = checkId(id)
      const { status, cancelled, requested, workers, tickets, more } = await log.cancelFlow(flow, note)
      if (status === 'unknown') throw unknownFlow(flow)
      await notifyWorkers(log, workers)
      await publishTickets(deps, tickets)
      return cancelled + requested + (more ? await cancelRest(deps, flow) : 0)
    },

    async replay(id, options) {
      const note = toNote('flows.replay()', options, ['dryRun'])
      const { log } = await deps.connected()
      const flow = checkId(id)
      if (options.dryRun === true) return replayable(await log.readFlow(flow), flow)
      const { status, replayed, tickets } = await log.replayFlow(flow, note)
      if (status === 'unknown') throw unknownFlow(flow)
      if (status === 'running') throw stillRuns(flow)
      if (status === 'callbacks-run') {
        throw new ErrandError(
          'E_NOT_ALLOWED',
          `flow ${flow} cannot be replayed: a job that needs it runs; wait for its end, or cancel it`,
        )
      }
      await publishTickets(deps, tickets)
      return replayed
    },
  }
}

/** The log has noted the rest. Sweeps would do it, a pass each; this one does not wait for them. Resolves with how many jobs. */
async function cancelRest(deps: OperateDeps, flow: string): Promise<number> {
  const { log } = await deps.connected()
  const countEnded = async (): Promise<number | undefined> => {
    const record = await log.readFlow(flow)
    return record?.state === 'running' ? record.cancelled : undefined
  }
  let count = 0
  for (let before = await countEnded(); before !== undefined;) {
    await publishTickets(deps, await log.passNotes(pageSize))
    const after = await countEnded()
    if (after === undefined) return count + ((await log.readFlow(flow))?.cancelled ?? before) - before
    // Nothing is left but what runs, or another process does it.
    if (after === before) break
    count += after - before
    before = after
  }
  return count
}

function flowFilter({ state, name }: FlowFilter): FlowFilter {
  if (name !== undefined && typeof name !== 'string')
    throw new ErrandError('E_OPTION', `name is ${describe(name)}; use a text`)
  return {
    ...(state === undefined ? {} : { state: checkOneOf('state', state, flowStates) }),
    ...(name === undefined ? {} : { name }),
  }
}

async function* listFlows(
  deps: OperateDeps,
  filter: FlowFilter,
  limit: number,
  from: string | undefined,
): AsyncGenerator<FlowInfo, void> {
  const log = await deps.connectedLog()
  let left = limit
  for (let after = from; left > 0;) {
    const size = Math.min(left, pageSize)
    const page = await log.listFlows(filter, { limit: size, after })
    for (const record of page) yield flowInfo(record)
    left -= page.length
    if (page.length < size) return
    after = page.at(-1)?.id
  }
}

async function* listMembers(
  deps: OperateDeps,
  flow: string,
  limit: number,
  from: number | undefined,
): AsyncGenerator<FlowMemberInfo, void> {
  const log = await deps.connectedLog()
  let left = limit
  for (let after = from; left > 0;) {
    const size = Math.min(left, pageSize)
    const page = await log.flowMembers(flow, { limit: size, after })
    for (const { name, ...rest } of page) yield { ...rest, ...(name === undefined ? {} : { name }) }
    left -= page.length
    if (page.length < size) return
    after = page.at(-1)?.index
  }
}

function replayable(record: FlowRecord | undefined, id: string): number {
  if (!record) throw unknownFlow(id)
  if (!isFinal(record.state)) throw stillRuns(id)
  return record.failed + record.cancelled
}

function unknownFlow(id: string): ErrandError {
  return new ErrandError('E_NOT_FOUND', `there is no flow ${id} in this log (was its transaction committed?)`)
}

function stillRuns(id: string): ErrandError {
  return new ErrandError('E_NOT_ALLOWED', `flow ${id} cannot be replayed: it has not ended`)
}
