import { laneRank } from '@errand/core/ports'
import type { NewJob } from '@errand/core/ports'
import { uniqueCode } from './codes.ts'
import type { Value } from './database.ts'
import { arrayLiteral, jsonMembers } from './literals.ts'
import type { Cell } from './literals.ts'

type Column = (job: NewJob) => Cell

const idOf: Column = (job) => job.id
const payloadOf: Column = (job) => job.payload.text
const tagsOf: Column = (job) => (job.tags.length === 0 ? null : arrayLiteral(job.tags))
const metaOf: Column = (job) => (Object.keys(job.meta).length === 0 ? null : JSON.stringify(job.meta))
const crashFails: Column = (job) => (job.onCrash === 'fail' ? true : null)
const dataOf: Column = (job) => jsonMembers({ orderingKey: job.ordering?.key, parentId: job.parentId })

/** The parameters of `append`, in its order; see its migration. */
const columns: readonly Column[] = [
  idOf,
  (job) => job.name,
  (job) => job.payloadVersion,
  (job) => job.queue,
  (job) => laneRank[job.lane],
  (job) => job.payload.codec,
  payloadOf,
  tagsOf,
  metaOf,
  (job) => job.ordering?.key,
  (job) => (job.ordering?.onFailure === 'skip' ? true : null),
  (job) => job.unique?.key,
  (job) =>
    job.unique && (job.unique.until === 'started' ? uniqueCode.untilStarted : uniqueCode.untilFinished),
  (job) => job.unique?.forMs,
  (job) => (job.due && 'delayMs' in job.due ? Math.round(job.due.delayMs) : null),
  (job) => (job.due && 'at' in job.due ? Math.round(job.due.at) : null),
  (job) => job.expiresMs,
  (job) => job.parentId,
  (job) => job.batchId,
  (job) => job.publishGraceMs,
  (job) => job.maxAttempts,
  (job) => job.maxCrashes,
  crashFails,
  (job) => job.timeoutMs,
  dataOf,
]

/** The parameters of `append_alike`: these per job, and what the jobs have in common. */
const own: readonly Column[] = [idOf, payloadOf, tagsOf, metaOf]
const common: readonly Column[] = [
  (job) => job.name,
  (job) => job.payloadVersion,
  (job) => job.queue,
  (job) => laneRank[job.lane],
  (job) => job.payload.codec,
  (job) => job.expiresMs,
  (job) => job.parentId,
  (job) => job.batchId,
  (job) => job.publishGraceMs,
  (job) => job.maxAttempts,
  (job) => job.maxCrashes,
  crashFails,
  (job) => job.timeoutMs,
  dataOf,
]

/** `$1, $2, …` for each function. */
const placeholders = (count: number): string =>
  Array.from({ length: count }, (_, index) => `$${index + 1}`).join(', ')

/** The calls of both functions, in the schema given. */
export const appendCall = (schema: string): string =>
  `select ${schema}.append(${placeholders(columns.length + 1)}) as answer`
export const appendAlikeCall = (schema: string): string =>
  `select ${schema}.append_alike(${placeholders(own.length + common.length)})`

/** Of `append`. */
export function appendParameters(jobs: readonly NewJob[], lockTimeout: string | null): (string | null)[] {
  return [...columns.map((of) => arrayLiteral(jobs.map(of))), lockTimeout]
}

/** Of `append_alike`; undefined when the jobs are not ready at once, or differ in more than their ids, payloads, tags and meta. */
export function alikeParameters(jobs: readonly NewJob[]): Value[] | undefined {
  const [first] = jobs
  if (!first || jobs.some((job) => hasKey(job) || job.due !== undefined)) return undefined
  const shared = common.map((of) => of(first))
  if (jobs.some((job) => common.some((of, index) => of(job) !== shared[index]))) return undefined
  return [...own.map((of) => arrayLiteral(jobs.map(of))), ...shared.map((cell) => cell ?? null)]
}

/** It may have to wait for somebody's transaction. */
export function hasKey(job: NewJob): boolean {
  return job.ordering !== undefined || job.unique !== undefined
}
