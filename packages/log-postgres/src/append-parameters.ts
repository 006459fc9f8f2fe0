import { laneRank } from '@errand/core/ports'
import type { NewJob } from '@errand/core/ports'
import { needCode, uniqueCode } from './codes.ts'
import type { Value } from './database.ts'
import { arrayLiteral, jsonMembers } from './literals.ts'
import type { Cell } from './literals.ts'
import type { Whole } from './whole.ts'

type Column = (job: NewJob) => Cell

/** How many needs the first event of a job names. */
const mostNeedsTold = 32

/** The parameters of `append`, in the order of its definition in SQL. */
const of = {
  id: (job) => job.id,
  name: (job) => job.name,
  payloadVersion: (job) => job.payloadVersion,
  queue: (job) => job.queue,
  lane: (job) => laneRank[job.lane],
  codec: (job) => job.payload.codec,
  payload: (job) => job.payload.text,
  tags: (job) => (job.tags.length === 0 ? null : arrayLiteral(job.tags)),
  meta: (job) => (Object.keys(job.meta).length === 0 ? null : JSON.stringify(job.meta)),
  key: (job) => job.ordering?.key,
  skips: (job) => (job.ordering?.onFailure === 'skip' ? true : null),
  uniqueKey: (job) => job.unique?.key,
  uniqueMode: (job) =>
    job.unique && (job.unique.until === 'started' ? uniqueCode.untilStarted : uniqueCode.untilFinished),
  uniqueFor: (job) => job.unique?.forMs,
  share: (job) => job.shareKey,
  delay: (job) => (job.due && 'delayMs' in job.due ? Math.round(job.due.delayMs) : null),
  at: (job) => (job.due && 'at' in job.due ? Math.round(job.due.at) : null),
  expires: (job) => job.expiresMs,
  parent: (job) => job.parentId,
  grace: (job) => job.publishGraceMs,
  attempts: (job) => job.maxAttempts,
  crashes: (job) => job.maxCrashes,
  crashFails: (job) => (job.onCrash === 'fail' ? true : null),
  timeout: (job) => job.timeoutMs,
  data: (job) =>
    jsonMembers({
      orderingKey: job.ordering?.key,
      limit: job.limit?.name,
      limitKey: job.limit?.key,
      parentId: job.parentId,
      flow: job.flow,
      needs:
        job.needs && job.needs.length > 0 ? job.needs.slice(0, mostNeedsTold).map(({ on }) => on) : undefined,
    }),
  limit: (job) => job.limit?.name,
  limitKey: (job) => job.limit?.key,
} satisfies Record<string, Column>
const columns: readonly Column[] = Object.values(of)

/** The parameters of `append_alike`: these per job, then what the jobs have in common, and what follows from that. */
const own: readonly Column[] = [of.id, of.payload, of.tags, of.meta]
const common: readonly Column[] = [
  of.name,
  of.payloadVersion,
  of.queue,
  of.lane,
  of.codec,
  of.expires,
  of.parent,
  of.grace,
  of.attempts,
  of.crashes,
  of.crashFails,
  of.timeout,
]

/** `$1, $2, …` for each function. */
export const placeholders = (count: number, behind = 0): string =>
  Array.from({ length: count }, (_, index) => `$${behind + index + 1}`).join(', ')

/** Those of flows and needs, and those of the call. */
const wholeColumns = 8
export const appendCount: number = columns.length + wholeColumns + 2

/** The calls of both functions, by their names in the database. */
export const appendCall = (append: string): string =>
  `select ${append}(${placeholders(appendCount)}) as answer`
export const appendAlikeCall = (appendAlike: string): string =>
  `select ${appendAlike}(${placeholders(own.length + common.length + 1)})`

/** Of `append`. @param inside the caller's transaction @param whole of a call that stores all or nothing */
export function appendParameters(
  jobs: readonly NewJob[],
  lockTimeout: string | null,
  { inside = false, whole }: { readonly inside?: boolean; readonly whole?: Whole | undefined } = {},
): (string | null)[] {
  return [
    ...columns.map((column) => arrayLiteral(jobs.map(column))),
    ...(whole ? wholeParameters(jobs, whole) : noWholeParameters),
    lockTimeout,
    inside ? 't' : null,
  ]
}

const noWholeParameters: readonly null[] = Array.from({ length: wholeColumns }, () => null)

function wholeParameters(jobs: readonly NewJob[], whole: Whole): (string | null)[] {
  const needs = jobs.flatMap((job, index) => (job.needs ?? []).map((need) => ({ ...need, job: index + 1 })))
  return [
    arrayLiteral(jobs.map(({ flow }) => flow)),
    arrayLiteral(jobs.map(({ id }) => whole.places.get(id))),
    arrayLiteral(jobs.map(({ mayFail }) => (mayFail === true ? true : null))),
    arrayLiteral(jobs.map(({ id }) => (whole.needed.has(id) ? true : null))),
    arrayLiteral(needs.map(({ job }) => job)),
    arrayLiteral(needs.map(({ on }) => on)),
    arrayLiteral(needs.map(({ mode }) => needCode[mode])),
    arrayLiteral(needs.map(({ name }) => name)),
  ]
}

/** Of `append_alike`; undefined when the jobs are not ready at once, take turns, or differ in more than their ids, payloads, tags and meta. */
export function alikeParameters(jobs: readonly NewJob[]): Value[] | undefined {
  const [first] = jobs
  const differs = (job: NewJob): boolean =>
    mayWait(job) || job.due !== undefined || job.shareKey !== undefined || job.limit !== undefined
  if (!first || jobs.some(differs)) return undefined
  const shared = common.map((column) => column(first))
  if (jobs.some((job) => common.some((column, index) => column(job) !== shared[index]))) return undefined
  return [
    ...own.map((column) => arrayLiteral(jobs.map(column))),
    ...shared.map((cell) => cell ?? null),
    of.data(first),
  ]
}

/**
 * It may have to wait for another transaction: for its keys, or because it is a child whose id an earlier run may have
 * stored there.
 */
export function mayWait(job: NewJob): boolean {
  return job.ordering !== undefined || job.unique !== undefined || job.parentId !== undefined
}
