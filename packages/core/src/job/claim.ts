import type { StoredJob, StoredPolicy } from './job.ts'
import type { QueueName, Ticket } from './ticket.ts'

/** Identifies one run. The log refuses every settle, progress and completion unless all three match: `(id, run, worker)`. */
export interface Fence {
  readonly id: string
  readonly run: number
}

/** The log's grant to run a job once. */
export interface Claim extends Fence, StoredPolicy {
  readonly job: StoredJob
  /** Runs that count against `maxAttempts`, this one included. */
  readonly attempt: number
  /** Runs that ended as `lost` so far. */
  readonly crashes: number
  /** Milliseconds left until retries end, at the time of the claim. */
  readonly expiresInMs: number | undefined
  /** How long the job has been given back because no worker knew its name or could read its payload. */
  readonly parkedForMs: number | undefined
  /** How often the job was replayed after it had succeeded. A part of the idempotency key. */
  readonly replays: number
  /** The flow that it is a member of. */
  readonly flow: string | undefined
}

/** A worker process, as the log knows it. Its id is made at process start. The label is only for people. */
export interface WorkerRef {
  readonly id: string
  readonly host: string
  readonly pid: number
  readonly label?: string | undefined
  /** How long its claims are valid without a heartbeat. */
  readonly leaseMs: number
  /** Added to a job's timeout to make the deadline after which its run is lost. */
  readonly graceMs: number
}

/** A UUID for one claim or take. The worker repeats it until it is answered, so that a lost reply loses no claim. */
export type RequestId = string

export type DropReason = 'busy' | 'finished' | 'blocked' | 'paused' | 'elsewhere' | 'unknown' | 'foreign'

/** The log's answer to one ticket. */
export type Verdict = { readonly ticket: Ticket } & (
  | { readonly verdict: 'run'; readonly claim: Claim }
  /** Forget the ticket. If the job needs another one, the log will issue it. */
  | { readonly verdict: 'drop'; readonly why: DropReason }
  /** The row was locked, or more tickets than `max` were runnable: ask again, do not ack. */
  | { readonly verdict: 'again' }
  /** As many jobs of its queue run as its limit allows: give the ticket back, and ask no more until one of them has ended. */
  | { readonly verdict: 'full' }
  /** Not due before `at` (ms since the epoch, by the log's clock); the relay publishes it then. */
  | { readonly verdict: 'later'; readonly at: number }
)

export interface QueueKey {
  readonly queue: QueueName
  readonly key: string
}
