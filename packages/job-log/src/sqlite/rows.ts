import { laneOfRank } from '@errand/core/ports'
import type {
  Encoded,
  EventData,
  EventType,
  JobRow,
  JobState,
  OnCrash,
  OnFailure,
  StoredEvent,
  StoredJob,
  Transfer,
  WorkerRow,
} from '@errand/core/ports'
import type { Row, Value } from './statements.ts'

// What these read, this package wrote into strict tables: the casts only name it.
const text = (value: Value | undefined): string => String(value)
const optionalText = (value: Value | undefined): string | undefined =>
  value == null ? undefined : String(value)
const number = (value: Value | undefined): number => Number(value)
const optionalNumber = (value: Value | undefined): number | undefined =>
  value == null ? undefined : Number(value)

const none: readonly string[] = []
const list = (value: Value | undefined): readonly string[] =>
  value === '[]' ? none : (JSON.parse(text(value)) as readonly string[])

export function jobRow(row: Row): JobRow {
  return {
    id: text(row.id),
    name: text(row.name),
    sequence: number(row.sequence),
    orderingKey: optionalText(row.ordering_key),
    onFailure: text(row.on_failure) as OnFailure,
    uniqueKey: optionalText(row.unique_key),
    uniqueUntil: text(row.unique_until) as JobRow['uniqueUntil'],
    uniqueForMs: optionalNumber(row.unique_for_ms),
    tags: list(row.tags),
    dispatchedAt: number(row.dispatched_at),
    expiresAt: optionalNumber(row.expires_at),
    maxAttempts: number(row.max_attempts),
    maxCrashes: number(row.max_crashes),
    onCrash: text(row.on_crash) as OnCrash,
    timeoutMs: optionalNumber(row.timeout_ms) ?? null,
    queue: text(row.queue),
    lane: laneOfRank(number(row.lane)),
    state: text(row.state) as JobState,
    run: number(row.run),
    attempt: number(row.attempt),
    crashes: number(row.crashes),
    streak: number(row.streak),
    version: number(row.version),
    worker: optionalText(row.worker),
    request: optionalText(row.request),
    deadline: optionalNumber(row.deadline),
    runAt: optionalNumber(row.run_at),
    publishAfter: optionalNumber(row.publish_after),
    publishes: number(row.publishes),
    cancelBy: optionalText(row.cancel_by),
    cancelReason: optionalText(row.cancel_reason),
    parkedSince: optionalNumber(row.parked_since),
    replays: number(row.replays),
    finishedAt: optionalNumber(row.finished_at),
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
    meta: JSON.parse(text(row.meta)) as Readonly<Record<string, string>>,
    parentId: optionalText(row.parent_id),
  }
}

export function storedEvent(row: Row): StoredEvent {
  return {
    position: number(row.position),
    jobId: text(row.job_id),
    version: number(row.version),
    type: text(row.type) as EventType,
    state: text(row.state) as JobState,
    name: text(row.name),
    queue: text(row.queue),
    tags: list(row.tags),
    at: number(row.at),
    run: number(row.run),
    attempt: number(row.attempt),
    worker: optionalText(row.worker),
    data: row.data === '{}' ? {} : (JSON.parse(text(row.data)) as EventData),
    body: encoded(row),
  }
}

function encoded(row: Row): Encoded | undefined {
  return row.body == null ? undefined : { codec: text(row.codec), text: text(row.body) }
}

/** The forwarding address that `errand_log` keeps as JSON. */
export function transferOf(value: Value | undefined): Transfer | undefined {
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
    lastSeen: number(row.last_seen),
    leaseUntil: number(row.lease_until),
    stop: row.stop === 1,
  }
}
