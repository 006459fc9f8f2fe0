import type { OnCrash, OnFailure } from '../job/job.ts'
import type { Lane } from '../job/lane.ts'

const second = 1_000
const minute = 60 * second
const day = 24 * 60 * minute
const kib = 1_024
const mib = 1_024 * kib

/** What a job definition need not say. */
export const jobDefaults = {
  queue: 'default',
  lane: 'normal' as Lane,
  /** Attempts, the first included. */
  attempts: 5,
  /** Exponential, with full jitter. */
  backoffBaseMs: second,
  backoffMaxMs: 15 * minute,
  /** How long one run may take. Unlimited must be asked for: `timeout: 'none'`. */
  timeoutMs: 15 * minute,
  /** Runs that may end as lost. */
  crashes: 3,
  onCrash: 'retry' as OnCrash,
  orderOnFailure: 'block' as OnFailure,
  uniqueUntil: 'finished' as 'finished' | 'started',
  payloadVersion: 1,
} as const

/** What a worker definition need not say, and what its parts go by. */
export const workerDefaults = {
  /** How long the process's claims hold without a heartbeat. */
  leaseMs: 30 * second,
  /** The heartbeat is a sixth of the lease, and at most this. */
  heartbeatMaxMs: 5 * second,
  heartbeatsPerLease: 6,
  /** A lease shorter than so many heartbeats is refused: one late beat would cost every claim. */
  minHeartbeatsPerLease: 3,
  /** How long running jobs may go on after the worker was asked to stop, and after a run's timeout. */
  graceMs: 25 * second,
  /** Jobs that one process runs at a time, over all queues without a number of their own. */
  concurrency: 10,
  /** How long one hook may take. */
  hookDeadlineMs: 10 * second,
  /** How often a worker takes overdue jobs, at least; jittered. */
  overdueEveryMs: 10 * second,
  /** After so long without a delivery it takes overdue jobs at once. */
  quietMs: 5 * second,
  /** How long a job goes back that no handler knows, or whose payload does not fit, and for how long in all. */
  parkedDelayMs: 30 * second,
  parkedForMs: day,
  /** Tickets asked for at a time while most of them turn out stale. */
  staleBatch: 100,
  /** The first and the longest wait before a lost subscription is rebuilt; jittered. */
  resubscribeMinMs: 100,
  resubscribeMaxMs: 15 * second,
  /** How often a progress report of one job is passed on, at most. */
  progressEveryMs: second,
} as const

/** What the relay goes by. */
export const relayDefaults = {
  /** The longest sleep between two sweeps. */
  sweepEveryMs: second,
  /** Rows per kind of work in one sweep. */
  sweepLimit: 500,
} as const

/** Every setting of an instance, resolved: each has a unit in its name. */
export interface Settings {
  /** How long `dispatch` waits for the broker's confirm, after the job is stored. */
  readonly publishWaitMs: number
  /** After so long a publish is given up; the relay takes over. */
  readonly publishDeadlineMs: number
  /** A job is overdue when no ticket has fetched it so long after it became ready. */
  readonly publishGraceMs: number
  /** Largest payload, in bytes of UTF-8 JSON. */
  readonly payloadLimitBytes: number
  /** Largest result, in bytes of UTF-8 JSON. */
  readonly resultLimitBytes: number
  /** Jobs, and bytes, in one statement. */
  readonly batchItems: number
  readonly batchBytes: number
  /** How long finished jobs and their history are kept. */
  readonly keepSucceededMs: number
  readonly keepFailedMs: number
  /** How often `follow` and `result` look again when nothing wakes them. */
  readonly followEveryMs: number
}

/** What a configuration need not say. */
export const settingsDefaults: Settings = Object.freeze({
  publishWaitMs: second,
  publishDeadlineMs: 10 * second,
  publishGraceMs: 30 * second,
  payloadLimitBytes: mib,
  resultLimitBytes: 64 * kib,
  batchItems: 500,
  batchBytes: 4 * mib,
  keepSucceededMs: 14 * day,
  keepFailedMs: 90 * day,
  followEveryMs: second,
})

/** Longest ordering key, unique key, tag, meta name and meta value, in characters. */
export const keyLimit = 512
/** Most tags, and most meta entries, of one job. */
export const tagLimit = 32
