import { DamagedRow, knownEventType, knownState, laneOfRank } from '@errand/core/ports'
import type { JobRow, StoredEvent, WorkerRow } from '@errand/core/engine'
import type { Encoded, JobState, OnCrash, OnFailure, StoredJob, Transfer } from '@errand/core/ports'
import type { Row, Value } from './statements.ts'

// This package wrote these values into strict tables, so a cast is enough. Numbers of a job are checked all the same,
// because rules calculate with them. Broken JSON is read as empty, as on PostgreSQL.
const text = (value: Value | undefined): string => String(value)
export const optionalText = (value: Value | undefined): string | undefined =>
  value == null ? undefined : String(value)
const number = (value: Value | undefined): number => Number(value)
const optionalNumber = (value: Value | undefined): number | undefined =>
  value == null ? undefined : Number(value)

const none: readonly string[] = []
const list = (value: Value | undefined): readonly string[] => {
  if (value === '[]') return none
  const parsed = parseJson(value)
  return Array.isArray(parsed) ? parsed.map(String) : none
}

function parseJson(value: Value | undefined): unknown {
  try {
    return JSON.parse(text(value))
  } catch {
    return undefined
  }
}

function parseObject(value: Value | undefined): Readonly<Record<string, unknown>> {
  const parsed = value === '{}' ? undefined : parseJson(value)
  return typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed) ? { ...parsed } : {}
}

/** @throws DamagedRow for a row that no rule can work with. */
export function jobRow(row: Row): JobRow {
  try {
    return checkedJobRow(row)
  } catch (error) {
    throw new DamagedRow(text(row.id), error)
  }
}

export function count(value: Value | undefined): number {
  const found = Number(value)
  if (!Number.isSafeInteger(found)) throw new RangeError(`the number ${found} is out of bounds`)
  return found
}

export function optionalCount(value: Value | undefined): number | undefined {
  return value == null ? undefined : count(value)
}

function checkedJobRow(row: Row): JobRow {
  return {
    id: text(row.id),
    name: text(row.name),
    sequence: count(row.sequence),
    orderingKey: optionalText(row.ordering_key),
    onFailure: text(row.on_failure) as OnFailure,
    uniqueKey: optionalText(row.unique_key),
    uniqueUntil: text(row.unique_until) as JobRow['uniqueUntil'],
    uniqueForMs: optionalCount(row.unique_for_ms),
    shareKey: optionalText(row.share_key),
    turn: optionalCount(row.turn),
    tags: list(row.tags),
    dispatchedAt: count(row.dispatched_at),
    expiresAt: optionalCount(row.expires_at),
    flow: optionalText(row.flow),
    mayFail: row.may_fail === 1,
    hasNeeds: row.has_needs === 1,
    needed: row.needed === 1,
    limit: row.limit_name == null ? undefined : { name: text(row.limit_name), key: text(row.limit_key) },
    atLimit: row.at_limit === 1,
    maxAttempts: count(row.max_attempts),
    maxCrashes: count(row.max_crashes),
    onCrash: text(row.on_crash) as OnCrash,
    timeoutMs: optionalCount(row.timeout_ms) ?? null,
    queue: text(row.queue),
    lane: laneOfRank(count(row.lane)),
    state: text(row.state) as JobState,
    run: count(row.run),
    attempt: count(row.attempt),
    crashes: count(row.crashes),
    streak: count(row.streak),
    version: count(row.version),
    worker: optionalText(row.worker),
    request: optionalText(row.request),
    deadline: optionalCount(row.deadline),
    runAt: optionalCount(row.run_at),
    publishAfter: optionalCount(row.publish_after),
    publishes: count(row.publishes),
    cancelBy: optionalText(row.cancel_by),
    cancelReason: optionalText(row.cancel_reason),
    parkedSince: optionalCount(row.parked_since),
    replays: count(row.replays),
    resumedAt: optionalCount(row.resumed_at),
    finishedAt: optionalCount(row.finished_at),
    progress: optionalNumber(row.progress),
    progressMessage: optionalText(row.progress_message),
  }
}

export function storedJob(job: JobRow, row: Row): StoredJob {
  const { id, name, queue, lane, tags, orderingKey, dispatchedAt } = job
  return {
    id,
    name,
    queue,
    lane,
    tags,
    orderingKey,
    dispatchedAt,
    payloadVersion: number(row.payload_version),
    payload: { codec: text(row.codec), text: text(row.payload) },
    meta: pickTexts(parseObject(row.meta)),
    parentId: optionalText(row.parent_id),
  }
}

function pickTexts(object: Readonly<Record<string, unknown>>): Readonly<Record<string, string>> {
  const entries = Object.entries(object)
  return Object.fromEntries(
    entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  )
}

export function storedEvent(row: Row): StoredEvent {
  return {
    position: number(row.position),
    jobId: text(row.job_id),
    version: number(row.version),
    type: knownEventType(row.type),
    state: knownState(row.state),
    name: text(row.name),
    queue: text(row.queue),
    tags: list(row.tags),
    at: number(row.at),
    run: number(row.run),
    attempt: number(row.attempt),
    worker: optionalText(row.worker),
    data: parseObject(row.data),
    body: encoded(row),
  }
}

export function encoded(row: Row): Encoded | undefined {
  return row.body == null ? undefined : { codec: text(row.codec), text: text(row.body) }
}

/** The forwarding address that `errand_log` keeps as JSON. */
export function parseTransfer(value: Value | undefined): Transfer | undefined {
  return value == null ? undefined : (JSON.parse(text(value)) as Transfer)
}

export function workerRow(row: Row): WorkerRow {
  return {
    id: text(row.id),
    host: text(row.host),
    pid: number(row.pid),
    label: optionalText(row.label),
    leaseMs: number(row.lease_ms),
    startedAt: number(row.started_at),
    queues: list(row.queues),
    taking: row.taking === 1,
    why: optionalText(row.why),
    drivers: list(row.drivers),
    slots: row.slots === null ? undefined : (JSON.parse(text(row.slots)) as Record<string, number>),
    lastSeen: number(row.last_seen),
    leaseUntil: number(row.lease_until),
    stop: row.stop === 1,
  }
}
