import { unseal } from '../codec/sealed-text.ts'
import type { Maybe } from '../define/handler.ts'
import type { Failure } from '../failure/failure.ts'
import type { EventRecord } from '../job/events.ts'
import type { FlowCounts } from '../job/flow.ts'
import type { CancelCause } from '../job/need.ts'
import type { FailureCause } from '../job/outcome.ts'
import type { ReleaseReason } from '../job/release.ts'
import type { StoredState } from '../job/state.ts'
import { asError, asResult } from '../ports/codec.ts'
import type { Codec } from '../ports/codec.ts'
import { readable, readableFailure } from './decode.ts'

/** What every event has. */
export interface EventBase {
  /** Pass it as `after` to continue after this event. */
  readonly cursor: string
  readonly jobId: string
  /** Counts the events of the job from 1 without a gap. */
  readonly version: number
  /** The job's state after it. */
  readonly state: StoredState
  readonly name: string
  readonly queue: string
  readonly tags: readonly string[]
  /** The time, by the log's clock. */
  readonly at: Date
  /** Claims of the job so far. */
  readonly run: number
  /** Claims that count against `maxAttempts`. */
  readonly attempt: number
}

interface ByWorker {
  readonly worker: string
}
interface ByOperator {
  readonly by: string | undefined
  readonly reason: string | undefined
}

/** One row of a job's history. Its other properties depend on `type`. */
export type JobEvent = EventBase &
  (
    | {
        readonly type: 'dispatched'
        readonly orderingKey: string | undefined
        readonly runAt: Date | undefined
        /** The job whose handler dispatched it. */
        readonly parentId: string | undefined
        /** The flow that it is a member of. */
        readonly flow: string | undefined
        /** What it needs: ids of jobs and flows, the first 32. */
        readonly needs: readonly string[]
      }
    | { readonly type: 'due' | 'unblocked' }
    /** A newer build wrote it, and this one does not know the type. */
    | { readonly type: 'unknown' }
    | ({ readonly type: 'started'; readonly host: string | undefined } & ByWorker)
    | ({
        readonly type: 'progressed'
        readonly progress: number
        readonly message: string | undefined
      } & ByWorker)
    | ({
        readonly type: 'succeeded'
        readonly result: unknown
        readonly durationMs: number | undefined
      } & ByWorker)
    | ({
        readonly type: 'errored'
        readonly error: Failure
        /** When it runs again; undefined if `failed` or `cancelled` follows. */
        readonly retryAt: Date | undefined
        readonly durationMs: number | undefined
      } & ByWorker)
    | ({
        readonly type: 'snoozed'
        readonly until: Date | undefined
        readonly reason: string | undefined
      } & ByWorker)
    | ({
        readonly type: 'released'
        /** Undefined in events that older code has written. */
        readonly why: ReleaseReason | undefined
      } & ByWorker)
    | ({ readonly type: 'lost'; readonly error: Failure; readonly retryAt: Date | undefined } & ByWorker)
    | ({
        readonly type: 'fenced'
        /** The run that was refused. */
        readonly fencedRun: number | undefined
      } & ByWorker)
    | { readonly type: 'failed'; readonly error: Failure; readonly cause: FailureCause | undefined }
    | ({ readonly type: 'cancel_requested' | 'skipped' | 'replayed' } & ByOperator)
    | ({
        readonly type: 'cancelled'
        /** Undefined: somebody, or its handler, did it. */
        readonly cause: CancelCause | undefined
        /** The id of what it needed and did not get. */
        readonly need: string | undefined
      } & ByOperator)
    | ({
        readonly type: 'suspended'
        /** The names of what it waits for. */
        readonly waits: readonly string[]
        /** When it goes on at the latest. */
        readonly until: Date | undefined
      } & ByWorker)
    | {
        readonly type: 'resumed'
        /** The names of the waits that were over. */ readonly waits: readonly string[]
      }
    | {
        readonly type: 'received'
        /** The name of the message. */ readonly message: string
        readonly by: string | undefined
      }
    /** Of a flow: `jobId` and `name` are the flow's, and `queue` is empty. */
    | { readonly type: 'flow_dispatched' | 'flow_ended'; readonly counts: FlowCounts }
    | ({ readonly type: 'flow_cancel_requested' | 'flow_replayed' } & ByOperator)
    | ({
        readonly type: 'changed'
        /** What was edited. */
        readonly changed: readonly string[]
        readonly runAt: Date | undefined
      } & ByOperator)
  )

const noCounts: FlowCounts = { total: 0, succeeded: 0, failed: 0, cancelled: 0, forgiven: 0 }
const noError: Failure = { name: 'Error', message: 'no error was recorded' }

/** What is decoded of an event. */
interface Texts {
  readonly result?: unknown
  readonly error?: Failure
  readonly reason?: string | undefined
  readonly message?: string | undefined
}

const noTexts: Texts = {}

/**
 * Texts that this process cannot read become `Unreadable`, and never an error. It returns a promise only if there is a
 * text to decode: most events have none.
 */
export function jobEvent(record: EventRecord, codec: Codec): Maybe<JobEvent> {
  const { body, data } = record
  if (!body && data.reason === undefined && data.message === undefined) return toEvent(record, noTexts)
  return decodeTexts(record, codec).then((texts) => toEvent(record, texts))
}

async function decodeTexts({ type, jobId, body, data }: EventRecord, codec: Codec): Promise<Texts> {
  const reason = await unseal(codec, data.reason, jobId)
  const message = await unseal(codec, data.message, jobId)
  if (!body) return { reason, message }
  if (type === 'succeeded') return { reason, message, result: await readable(codec, body, asResult(jobId)) }
  return { reason, message, error: await readableFailure(codec, body, asError(jobId)) }
}

function toEvent(record: EventRecord, texts: Texts): JobEvent {
  const { cursor, jobId, version, state, name, queue, tags, run, attempt, data } = record
  const base: EventBase = {
    cursor,
    jobId,
    version,
    state,
    name,
    queue,
    tags,
    at: new Date(record.at),
    run,
    attempt,
  }
  const worker = record.worker ?? ''
  const runAt = data.runAt === undefined ? undefined : new Date(data.runAt)
  const { error = noError, reason, message } = texts
  const operator: ByOperator = { by: data.by, reason }
  const { type } = record
  switch (type) {
    case 'dispatched':
      return {
        ...base,
        type,
        orderingKey: data.orderingKey,
        runAt,
        parentId: data.parentId,
        flow: data.flow,
        needs: data.needs ?? [],
      }
    case 'due':
    case 'unblocked':
    case 'unknown':
      return { ...base, type }
    case 'started':
      return { ...base, type, worker, host: data.host }
    case 'progressed':
      return {
        ...base,
        type,
        worker,
        progress: data.progress ?? 0,
        message,
      }
    case 'succeeded':
      return { ...base, type, worker, result: texts.result, durationMs: data.durationMs }
    case 'errored':
      return { ...base, type, worker, error, retryAt: runAt, durationMs: data.durationMs }
    case 'snoozed':
      return { ...base, type, worker, until: runAt, reason }
    case 'released':
      return { ...base, type, worker, why: data.why }
    case 'lost':
      return { ...base, type, worker, error, retryAt: runAt }
    case 'fenced':
      return { ...base, type, worker, fencedRun: data.fencedRun }
    case 'failed':
      return { ...base, type, error, cause: data.cause as FailureCause | undefined }
    case 'cancel_requested':
    case 'skipped':
    case 'replayed':
    case 'flow_cancel_requested':
    case 'flow_replayed':
      return { ...base, type, ...operator }
    case 'cancelled':
      return {
        ...base,
        type,
        ...operator,
        cause: data.cause as CancelCause | undefined,
        need: data.needs?.[0],
      }
    case 'suspended':
      return { ...base, type, worker, waits: data.waits ?? [], until: runAt }
    case 'resumed':
      return { ...base, type, waits: data.waits ?? [] }
    case 'received':
      return { ...base, type, message: data.waits?.[0] ?? '', by: data.by }
    case 'flow_dispatched':
    case 'flow_ended':
      return { ...base, type, counts: data.counts ?? noCounts }
    case 'changed':
      return { ...base, type, ...operator, changed: data.changed ?? [], runAt }
    default:
      return type satisfies never
  }
}
