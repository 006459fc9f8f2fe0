import type { Place } from '../subjects/subject.ts'
import type { Counted } from '../profile/calls.ts'
import type { Step, StepTime } from '../profile/steps.ts'

/** What a child process is for. */
export type Role =
  | 'prepare'
  | 'backlog'
  | 'enqueue1'
  | 'enqueueBulk'
  | 'drain'
  | 'follow'
  | 'latency'
  | 'latency-worker'
  | 'idle'
  | 'lists'

export interface Task {
  readonly subject: string
  readonly role: Role
  readonly place: Place
  /** Jobs: to measure with, or to prepare. */
  readonly n: number
  /** Processes whose descendants are its servers: their CPU counts. */
  readonly servers: readonly number[]
  /** Write a CPU profile into this folder, and note the steps of a latency. */
  readonly profileTo?: string | undefined
}

/** What a role measured in its timed part. */
export interface Measured {
  /** How many it did. */
  readonly jobs: number
  /** Jobs per second. */
  readonly rate?: number
  /** From the call of dispatch to the handler's start, in ms. */
  readonly latencies?: readonly number[]
  /** User and system time of the process in the timed part. */
  readonly cpuSeconds: number
  /** The same of the servers. */
  readonly serverCpuSeconds: number
  /** Peak of the whole process. */
  readonly rssMb: number
  readonly calls: readonly Counted[]
  readonly steps?: readonly StepTime[]
}

/** How far a drain is. */
export interface Progress {
  /** Handlers that have started, and how many of them with the first, in one turn of the event loop. */
  readonly count: number
  readonly opening: number
  readonly firstMs: number
  readonly lastMs: number
}

export type ToChild =
  | { readonly type: 'task'; readonly task: Task }
  | { readonly type: 'go' }
  | { readonly type: 'finish' }

export type FromChild =
  | { readonly type: 'ready' }
  | { readonly type: 'progress'; readonly progress: Progress }
  /** The least that a follower has seen. */
  | { readonly type: 'seen'; readonly count: number }
  /** A latency worker: a handler has started. */
  | {
      readonly type: 'started'
      readonly index: number
      readonly atMs: number
      readonly steps?: readonly Step[]
    }
  | { readonly type: 'measured'; readonly measured: Measured }
  | { readonly type: 'failed'; readonly error: string }

/** Monotonic, and the same in all processes of one machine. */
export function clockMs(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

export const workload = {
  /** Single dispatches at a time. */
  inFlight: 64,
  /** Jobs per bulk call. */
  bulk: 500,
  /** Bulk calls at a time while a queue is filled and nothing is timed. */
  fillers: 2,
  /** Jobs of the latency measurement, and how long it may take with a subject that only polls. */
  latencyJobs: 150,
  latencyMaxMs: 10_000,
  /** The pause between two of them, so that worker and dispatcher are idle again. Jittered, so that no poll is in step. */
  latencyPauseMs: 25,
  /** The wait before an idle worker is measured. */
  calmMs: 3_000,
} as const
