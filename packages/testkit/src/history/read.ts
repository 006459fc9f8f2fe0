import type { EventRecord, JobFilter, JobLog, ReadOptions } from '@errand/core/ports'
import type { FlowToCheck, NeedToCheck } from './types.ts'

/**
 * All events of a log, read page by page as a follower would read them, in the order of the log.
 * @param options narrows them to a job, a queue or a tag, or begins after a cursor; `limit` is the page. Default 1,000.
 * @example checkHistory({ events: await readHistory(log), dispatched: await readDispatched(log) })
 */
export async function readHistory(
  log: Pick<JobLog, 'read'>,
  options: Partial<ReadOptions> = {},
): Promise<EventRecord[]> {
  const limit = options.limit ?? 1_000
  const all: EventRecord[] = []
  let after = options.after
  for (;;) {
    const { events, next } = await log.read({ ...options, limit, after })
    all.push(...events)
    if (events.length < limit) return all
    after = next
  }
}

/**
 * Every job of a log (or those of a filter) in the order of dispatch, as `checkHistory` wants it: the log's own order,
 * which also holds for jobs that were dispatched at the same time.
 */
export async function readDispatched(log: Pick<JobLog, 'list'>, filter: JobFilter = {}): Promise<string[]> {
  const newestFirst: string[] = []
  for (;;) {
    const after = newestFirst.at(-1)
    const page = await log.list(filter, { limit: 500, after })
    if (page.length === 0) return newestFirst.toReversed()
    newestFirst.push(...page.map(({ id }) => id))
  }
}

/** What the jobs need whose dispatch says that they need something, as `checkHistory` wants it. */
export async function readNeeds(
  log: Pick<JobLog, 'needs'>,
  events: readonly EventRecord[],
): Promise<Map<string, readonly NeedToCheck[]>> {
  const needs = new Map<string, readonly NeedToCheck[]>()
  for (const { jobId, type, data } of events)
    if (type === 'dispatched' && data.needs) needs.set(jobId, await log.needs(jobId))
  return needs
}

/** Every flow of a log with its members, as `checkHistory` wants them. */
export async function readFlows(log: Pick<JobLog, 'listFlows' | 'flowMembers'>): Promise<FlowToCheck[]> {
  const flows: FlowToCheck[] = []
  for (;;) {
    const page = await log.listFlows({}, { limit: 500, after: flows.at(-1)?.id })
    if (page.length === 0) return flows
    for (const { id } of page) flows.push({ id, members: await readMembers(log, id) })
  }
}

async function readMembers(log: Pick<JobLog, 'flowMembers'>, flow: string): Promise<string[]> {
  const members: string[] = []
  let after: number | undefined
  for (;;) {
    const page = await log.flowMembers(flow, { limit: 500, after })
    if (page.length === 0) return members
    members.push(...page.map(({ id }) => id))
    after = page.at(-1)?.index
  }
}
