import { unseal } from '../codec/sealed-text.ts'
import { jobView } from '../define/view.ts'
import type { JobView } from '../define/view.ts'
import type { Failure } from '../failure/failure.ts'
import type { StoredState } from '../job/state.ts'
import { asError, asPayload, asResult } from '../ports/codec.ts'
import type { Codec } from '../ports/codec.ts'
import type { JobRecord } from '../ports/history.ts'
import { readable, readableFailure } from './decode.ts'

/** A job and its state. A payload or result that this process cannot read is an `Unreadable`. */
export interface JobDetails extends JobView {
  readonly state: StoredState
  /** Claims so far. */
  readonly run: number
  /** Claims that count against `maxAttempts`. */
  readonly attempt: number
  readonly maxAttempts: number
  /** Runs that ended as lost. */
  readonly crashes: number
  /** The id of the worker that runs it. */
  readonly worker?: string
  /** When it is due, while it is scheduled. */
  readonly runAt?: Date
  readonly finishedAt?: Date
  readonly cancelRequested: boolean
  readonly uniqueKey?: string
  readonly shareKey?: string
  /** Its limit, with its key if the limit has keys, and whether it waits for its turn there. */
  readonly limit?: { readonly name: string; readonly key?: string; readonly waits: boolean }
  /** The flow that it is a member of. */
  readonly flow?: string
  /** Whether it waits for something that it needs: `errand.jobs.needs` says for what. */
  readonly waitsForNeeds: boolean
  /** The job whose handler dispatched it. */
  readonly parentId?: string
  readonly progress?: { readonly value: number; readonly message: string | undefined }
  readonly result?: unknown
  /** The last error, also while it waits for its retry. */
  readonly error?: Failure
}

/** Texts that this process cannot read become `Unreadable`, and never an error. */
export async function jobDetails(record: JobRecord, codec: Codec): Promise<JobDetails> {
  const { state, run, attempt, maxAttempts, crashes, cancelRequested, flow, waitsForNeeds } = record
  const { worker, runAt, finishedAt, uniqueKey, shareKey, limit, parentId, progress, result, error } = record
  return {
    ...jobView(record, await readable(codec, record.payload, asPayload(record))),
    state,
    run,
    attempt,
    maxAttempts,
    crashes,
    cancelRequested,
    waitsForNeeds,
    ...(flow === undefined ? {} : { flow }),
    ...(worker === undefined ? {} : { worker }),
    ...(runAt === undefined ? {} : { runAt: new Date(runAt) }),
    ...(finishedAt === undefined ? {} : { finishedAt: new Date(finishedAt) }),
    ...(uniqueKey === undefined ? {} : { uniqueKey }),
    ...(shareKey === undefined ? {} : { shareKey }),
    ...(limit === undefined ? {} : { limit: showLimit(limit) }),
    ...(parentId === undefined ? {} : { parentId }),
    ...(progress === undefined
      ? {}
      : { progress: { ...progress, message: await unseal(codec, progress.message, record.id) } }),
    ...(result === undefined ? {} : { result: await readable(codec, result, asResult(record.id)) }),
    ...(error === undefined ? {} : { error: await readableFailure(codec, error, asError(record.id)) }),
  }
}

function showLimit({ name, key, waits }: NonNullable<JobRecord['limit']>): NonNullable<JobDetails['limit']> {
  return { name, ...(key === '' ? {} : { key }), waits }
}
