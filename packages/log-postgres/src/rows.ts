import { types } from 'pg'
import { laneRank, lanes } from '@errand/core/ports'
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

const laneOf: ReadonlyMap<number, Lane> = new Map(lanes.map((name) => [laneRank[name], name]))

/**
 * A dispatcher role can insert rows directly, so values may be invalid. They must not fail other reads: an invalid
 * value is read as the least possible one.
 */
export function lane(column: Column | undefined): Lane {
  return laneOf.get(Number(column)) ?? 'low'
}

export function parseObject(json: Column | undefined): Readonly<Record<string, unknown>> {
  if (!json) return {}
  try {
    const value: unknown = JSON.parse(json)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Readonly<Record<string, unknown>>)
      : {}
  } catch {
    return {}
  }
}

export function strings(column: Column | undefined): readonly string[] {
  return column === null || column === undefined ? [] : parseArray(column)
}

export function parseMeta(column: Column | undefined): Readonly<Record<string, string>> {
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
  'flow',
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

/** The place of the tags of a claim. */
export const tagsAt: number = claimed.tags

/** As many columns without values. */
export const noClaimColumns: string = claimNames.map(() => 'null').join(', ')

/** @param at where the columns of the claim begin */
export function toClaim(row: Row, at: number): Claim {
  return new ClaimRow(row, at)
}

/** A claim whose values are decoded when they are read: a worker reads few of them. A copy of it still has its fence. */
class ClaimRow implements Claim {
  readonly id: string
  readonly run: number
  readonly row: Row
  readonly at: number
  readonly job: StoredJob

  constructor(row: Row, at: number) {
    this.id = row[at + claimed.id]!
    this.run = number(row[at + claimed.run])
    this.row = row
    this.at = at
    this.job = new JobOfClaim(row, at)
  }

  get attempt(): number {
    return number(this.row[this.at + claimed.attempt])
  }
  get crashes(): number {
    return number(this.row[this.at + claimed.crashes])
  }
  get flow(): string | undefined {
    return maybe(this.row[this.at + claimed.flow])
  }
  get replays(): number {
    return number(this.row[this.at + claimed.replays])
  }
  get parkedForMs(): number | undefined {
    return maybeNumber(this.row[this.at + claimed.parked_ms])
  }
  get expiresInMs(): number | undefined {
    return maybeNumber(this.row[this.at + claimed.expires_ms])
  }
  get maxAttempts(): number {
    return number(this.row[this.at + claimed.max_attempts])
  }
  get maxCrashes(): number {
    return number(this.row[this.at + claimed.max_crashes])
  }
  get onCrash(): Claim['onCrash'] {
    return this.row[this.at + claimed.fails_on_crash] === 't' ? 'fail' : 'retry'
  }
  get timeoutMs(): number | null {
    return maybeNumber(this.row[this.at + claimed.timeout_ms]) ?? null
  }
}

class JobOfClaim implements StoredJob {
  readonly row: Row
  readonly at: number

  constructor(row: Row, at: number) {
    this.row = row
    this.at = at
  }

  get id(): string {
    return this.row[this.at + claimed.id]!
  }
  get name(): string {
    return this.row[this.at + claimed.name]!
  }
  get payloadVersion(): number {
    return number(this.row[this.at + claimed.payload_version])
  }
  get queue(): string {
    return this.row[this.at + claimed.queue]!
  }
  get lane(): Lane {
    return lane(this.row[this.at + claimed.lane])
  }
  get payload(): StoredJob['payload'] {
    return { codec: this.row[this.at + claimed.codec]!, text: this.row[this.at + claimed.payload]! }
  }
  get tags(): readonly string[] {
    return strings(this.row[this.at + claimed.tags])
  }
  get meta(): Readonly<Record<string, string>> {
    return parseMeta(this.row[this.at + claimed.meta])
  }
  get orderingKey(): string | undefined {
    return maybe(this.row[this.at + claimed.key])
  }
  get parentId(): string | undefined {
    return maybe(this.row[this.at + claimed.parent_id])
  }
  get dispatchedAt(): number {
    return number(this.row[this.at + claimed.dispatched_ms])
  }
}

/** Events, in this order: */
export const eventColumns = (s: string): string =>
  `e.tx, e.seq, e.place, e.job_id, e.version, e.type, e.state, e.name, e.queue, e.tags, ${s}.ms(e.at), e.run, e.attempt, e.worker, ` +
  `e.data, ${s}.ms(e.run_at), e.codec, e.body`

/** @param at where the columns of the event begin */
export function toEvent(row: Row, at: number, cursor: string): EventRecord {
  const runAt = maybeNumber(row[at + 15])
  const data: EventRecord['data'] = parseObject(row[at + 14])
  const codec = row[at + 16]
  const text = row[at + 17]
  return {
    cursor,
    jobId: row[at + 3]!,
    version: number(row[at + 4]),
    type: toStoredEventType(row[at + 5]),
    state: toStoredState(row[at + 6]),
    name: row[at + 7]!,
    queue: row[at + 8]!,
    tags: strings(row[at + 9]),
    at: number(row[at + 10]),
    run: number(row[at + 11]),
    attempt: number(row[at + 12]),
    worker: maybe(row[at + 13]),
    data: runAt === undefined ? data : { ...data, runAt },
    body: typeof codec === 'string' && typeof text === 'string' ? { codec, text } : undefined,
  }
}
