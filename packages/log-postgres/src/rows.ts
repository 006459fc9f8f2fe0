import { types } from 'pg'
import { laneOfRank, laneRank, lanes } from '@errand/core/ports'
import type { Claim, EventRecord, Lane, StoredJob, Transfer } from '@errand/core/ports'
import { storedEventTypeOf, storedStateOf } from './codes.ts'
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
 * Who may only dispatch can still do so by its own SQL, and store what no code of ours would. It must not stop those who
 * read its jobs among others: what makes no sense is read as the least that there is.
 */
export function lane(column: Column | undefined): Lane {
  const rank = Number(column)
  return lanes.some((name) => laneRank[name] === rank) ? laneOfRank(rank) : 'low'
}

function objectOf(json: Column | undefined): Readonly<Record<string, unknown>> {
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

function metaOf(column: Column | undefined): Readonly<Record<string, string>> {
  const entries = Object.entries(objectOf(column))
  return Object.fromEntries(
    entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  )
}

/** The forwarding address that `meta` keeps, its revision apart; 0: there is none. */
export function transferOf(revision: Column | undefined, json: Column | undefined): Transfer | undefined {
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

export function storedOf(row: Row): StoredJob {
  return {
    id: row[0]!,
    name: row[1]!,
    payloadVersion: number(row[2]),
    queue: row[3]!,
    lane: lane(row[4]),
    payload: { codec: row[5]!, text: row[6]! },
    tags: strings(row[7]),
    meta: metaOf(row[8]),
    orderingKey: maybe(row[9]),
    parentId: maybe(row[10]),
    dispatchedAt: number(row[11]),
  }
}

/** A claim, as the log's functions answer it, from this column on. */
export function claimOf(row: Row, at: number): Claim {
  const timeoutMs = maybeNumber(row[at + 10])
  return {
    id: row[at]!,
    run: number(row[at + 1]),
    attempt: number(row[at + 2]),
    crashes: number(row[at + 3]),
    replays: number(row[at + 4]),
    parkedForMs: maybeNumber(row[at + 5]),
    expiresInMs: maybeNumber(row[at + 6]),
    maxAttempts: number(row[at + 7]),
    maxCrashes: number(row[at + 8]),
    onCrash: row[at + 9] === 't' ? 'fail' : 'retry',
    timeoutMs: timeoutMs ?? null,
    job: {
      id: row[at]!,
      name: row[at + 11]!,
      payloadVersion: number(row[at + 12]),
      queue: row[at + 13]!,
      lane: lane(row[at + 14]),
      payload: { codec: row[at + 15]!, text: row[at + 16]! },
      tags: strings(row[at + 17]),
      meta: metaOf(row[at + 18]),
      orderingKey: maybe(row[at + 19]),
      parentId: maybe(row[at + 20]),
      dispatchedAt: number(row[at + 21]),
    },
  }
}

/** Events, in this order: */
export const eventColumns = (s: string): string =>
  `e.tx, e.seq, e.job_id, e.version, e.type, e.state, e.name, e.queue, e.tags, ${s}.ms(e.at), e.run, e.attempt, e.worker, ` +
  `e.data, ${s}.ms(e.run_at), e.codec, e.body`

export function eventOf(row: Row, cursor: string): EventRecord {
  const runAt = maybeNumber(row[14])
  const data: EventRecord['data'] = objectOf(row[13])
  return {
    cursor,
    jobId: row[2]!,
    version: number(row[3]),
    type: storedEventTypeOf(row[4]),
    state: storedStateOf(row[5]),
    name: row[6]!,
    queue: row[7]!,
    tags: strings(row[8]),
    at: number(row[9]),
    run: number(row[10]),
    attempt: number(row[11]),
    worker: maybe(row[12]),
    data: runAt === undefined ? data : { ...data, runAt },
    body:
      typeof row[15] === 'string' && typeof row[16] === 'string'
        ? { codec: row[15], text: row[16] }
        : undefined,
  }
}
