import { types } from 'pg'
import { laneOfRank, laneRank, lanes } from '@errand/core/ports'
import type { Claim, EventRecord, Lane, StoredJob, Transfer } from '@errand/core/ports'
import { toStoredEventType, toStoredState } from './codes.ts'
import type { Column, Row } from './database.ts'

/** `text[]` is 1009; the client knows it, and its types do not. */
const parserOf = types.getTypeParser as (oid: number) => (text: string) => readonly string[]
const parseArray = parserOf(1_009)

export function number(column: Column | undefined): number {
  return Number(column)
}

export function maybeNumber(column: Column | undefined): number | undefined {
  return column === null || column === undefined ? undefined : Number(column)
}

export function maybe(column: Column | undefined): string | undefined {
  return column ?? undefined
}

/**
 * A dispatcher role can insert rows directly, so values may be invalid. They must not fail other reads: an invalid
 * value is read as the least possible one.
 */
export function lane(column: Column | undefined): Lane {
  const rank = Number(column)
  return lanes.some((name) => laneRank[name] === rank) ? laneOfRank(rank) : 'low'
}

function parseObject(json: Column | undefined): Readonly<Record<string, unknown>> {
  if (!json) return {}
  try {
    const value: unknown = JSON.parse(json)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : {}
  } catch {
    return {}
  }
}

export function strings(column: Column | undefined): readonly string[] {
  return column === null || column === undefined ? [] : parseArray(column)
}

function parseMeta(column: Column | undefined): Readonly<Record<string, string>> {
  const entries = Object.entries(parseObject(column))
  return Object.fromEntries(
    entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  )
}

/** The forwarding address in `meta`, whose revision is a column of its own. 0 means none. */
export function toTransfer(revision: Column | undefined, json: Column | undefined): Transfer | undefined {
  if (number(revision) === 0 || json == null) return undefined
  return { ...(JSON.parse(json) as Omit<Transfer, 'revision'>), revision: number(revision) }
}

/** The unchanging part, in this order: */
export const storedColumns = (s: string, job: string, live: string): string =>
  [
    `${job}.id, ${job}.name, ${job}.payload_version, coalesce(${live}.queue, ${job}.queue)`,
    `coalesce(${live}.lane, ${job}.lane), ${job}.codec, ${job}.payload, ${job}.tags, ${job}.meta, ${job}.key`,
    `${job}.parent_id, ${s}.ms(${job}.dispatched_at)`,
  ].join(', ')
export const storedCount = 12

export function toStoredJob(row: Row): StoredJob {
  return {
    id: row[0]!,
    name: row[1]!,
    payloadVersion: number(row[2]),
    queue: row[3]!,
    lane: lane(row[4]),
    payload: { codec: row[5]!, text: row[6]! },
    tags: strings(row[7]),
    meta: parseMeta(row[8]),
    orderingKey: maybe(row[9]),
    parentId: maybe(row[10]),
    dispatchedAt: number(row[11]),
  }
}

const claimNames = [
  'id',
  'run',
  'attempt',
  'crashes',
  'replays',
  'parked_ms',
  'expires_ms',
  'max_attempts',
  'max_crashes',
  'fails_on_crash',
  'timeout_ms',
  'name',
  'payload_version',
  'queue',
  'lane',
  'codec',
  'payload',
  'tags',
  'meta',
  'key',
  'parent_id',
  'dispatched_ms',
] as const
type ClaimName = (typeof claimNames)[number]

/**
 * The columns of a claim, selected by the names that the log's functions give them. So the functions may change their
 * order.
 */
export const claimColumns: string = claimNames.join(', ')

/** The place of each of them in an answer, counted from the first. */
const claimed = Object.fromEntries(claimNames.map((name, place) => [name, place])) as Readonly<
  Record<ClaimName, number>
>

/** @param at where the columns of the claim begin */
export function toClaim(row: Row, at: number): Claim {
  const timeoutMs = maybeNumber(row[at + claimed.timeout_ms])
  return {
    id: row[at + claimed.id]!,
    run: number(row[at + claimed.run]),
    attempt: number(row[at + claimed.attempt]),
    crashes: number(row[at + claimed.crashes]),
    replays: number(row[at + claimed.replays]),
    parkedForMs: maybeNumber(row[at + claimed.parked_ms]),
    expiresInMs: maybeNumber(row[at + claimed.expires_ms]),
    maxAttempts: number(row[at + claimed.max_attempts]),
    maxCrashes: number(row[at + claimed.max_crashes]),
    onCrash: row[at + claimed.fails_on_crash] === 't' ? 'fail' : 'retry',
    timeoutMs: timeoutMs ?? null,
    job: {
      id: row[at + claimed.id]!,
      name: row[at + claimed.name]!,
      payloadVersion: number(row[at + claimed.payload_version]),
      queue: row[at + claimed.queue]!,
      lane: lane(row[at + claimed.lane]),
      payload: { codec: row[at + claimed.codec]!, text: row[at + claimed.payload]! },
      tags: strings(row[at + claimed.tags]),
      meta: parseMeta(row[at + claimed.meta]),
      orderingKey: maybe(row[at + claimed.key]),
      parentId: maybe(row[at + claimed.parent_id]),
      dispatchedAt: number(row[at + claimed.dispatched_ms]),
    },
  }
}

/** Events, in this order: */
export const eventColumns = (s: string): string =>
  `e.tx, e.seq, e.place, e.job_id, e.version, e.type, e.state, e.name, e.queue, e.tags, ${s}.ms(e.at), e.run, e.attempt, e.worker, ` +
  `e.data, ${s}.ms(e.run_at), e.codec, e.body`

export function toEvent(row: Row, cursor: string): EventRecord {
  const runAt = maybeNumber(row[15])
  const data: EventRecord['data'] = parseObject(row[14])
  return {
    cursor,
    jobId: row[3]!,
    version: number(row[4]),
    type: toStoredEventType(row[5]),
    state: toStoredState(row[6]),
    name: row[7]!,
    queue: row[8]!,
    tags: strings(row[9]),
    at: number(row[10]),
    run: number(row[11]),
    attempt: number(row[12]),
    worker: maybe(row[13]),
    data: runAt === undefined ? data : { ...data, runAt },
    body:
      typeof row[16] === 'string' && typeof row[17] === 'string'
        ? { codec: row[16], text: row[17] }
        : undefined,
  }
}
