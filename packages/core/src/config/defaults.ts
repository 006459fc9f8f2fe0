/** The defaults of a job definition. */
export const jobDefaults = {
  queue: 'default',
  lane: 'normal',
  /** Attempts, the first included. */
  attempts: 5,
  /** Exponential, with full jitter. */
  backoffBaseMs: 1_000,
  backoffMaxMs: 900_000,
  /** How long one run may take. No limit must be explicit: `timeout: 'none'`. */
  timeoutMs: 900_000,
  /** Runs that may end as lost. */
  crashes: 3,
  onCrash: 'retry',
  orderOnFailure: 'block',
  uniqueUntil: 'finished',
  payloadVersion: 1,
} as const

/** The defaults of a worker definition, and the settings of its parts. */
export const workerDefaults = {
  /** How long the process's claims are valid without a heartbeat. */
  leaseMs: 30_000,
  /** The heartbeat is a sixth of the lease, and at most this. */
  heartbeatMaxMs: 5_000,
  heartbeatsPerLease: 6,
  /** A lease shorter than this many heartbeats is refused: one late beat would lose every claim. */
  minHeartbeatsPerLease: 3,
  /** How long running jobs may go on after the worker was asked to stop, and after a run's timeout. */
  graceMs: 25_000,
  /** Jobs that one process runs at a time, over all queues without a number of their own. */
  concurrency: 10,
  /**
   * Brief jobs are prefetched: as many as will begin within `prefetchMs`, and at most `prefetchPerSlot` for each slot. They
   * go back when no slot has come free for `prefetchMaxMs`.
   */
  prefetchMs: 10,
  prefetchMaxMs: 1_000,
  prefetchPerSlot: 4,
  /** How long one hook may take. */
  hookDeadlineMs: 10_000,
  /** How often a worker takes overdue jobs, at least; jittered. */
  overdueEveryMs: 10_000,
  /** After this time without a delivery it takes overdue jobs at once. */
  quietMs: 5_000,
  /** How long a job waits that no handler knows, or whose payload does not fit: each time, and in all. */
  parkedDelayMs: 30_000,
  parkedForMs: 86_400_000,
  /** Tickets asked for at a time while most of them are stale. */
  staleBatch: 100,
  /** The first and the longest wait before a lost subscription is rebuilt; jittered. */
  resubscribeMinMs: 100,
  resubscribeMaxMs: 5_000,
  /** How often a progress report of one job is passed on, at most. */
  progressEveryMs: 1_000,
} as const

/** The settings of the relay. */
export const relayDefaults = {
  /** The longest sleep between two sweeps. */
  sweepEveryMs: 1_000,
  /** Rows per kind of work in one sweep. */
  sweepLimit: 500,
} as const

/** Every setting of an instance, resolved: each has a unit in its name. */
export interface Settings {
  /** How long `dispatch` waits for the broker's confirm, after the job is stored. */
  readonly publishWaitMs: number
  /** After this time a publish is given up, and the relay takes over. */
  readonly publishDeadlineMs: number
  /** A job is overdue when no ticket has fetched it within this time after it became ready. */
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

/** The defaults of a configuration. */
export const settingsDefaults: Settings = Object.freeze({
  publishWaitMs: 1_000,
  publishDeadlineMs: 10_000,
  publishGraceMs: 30_000,
  payloadLimitBytes: 1_048_576,
  resultLimitBytes: 65_536,
  batchItems: 500,
  batchBytes: 4_194_304,
  keepSucceededMs: 1_209_600_000,
  keepFailedMs: 7_776_000_000,
  followEveryMs: 1_000,
})

/** Longest ordering key, unique key, share key, tag and meta name, in characters. */
export const keyLimit = 512
/** Longest meta value, in characters. W3C baggage fits into it. */
export const metaValueLimit = 8_192
/** Most tags, and most meta entries, of one job. */
export const tagLimit = 32
