import type { Lane } from './lane.ts'

export type QueueName = string

/**
 * What a broker carries: "this job may be ready, go and ask". About 100 bytes, never the payload.
 * A lost, late, repeated, reordered or forged ticket does no harm, because the log decides.
 */
export interface Ticket {
  /** The job's id. */
  readonly id: string
  readonly queue: QueueName
  readonly lane: Lane
  /** The short id of the log that issued it. A ticket of another log is reported and never run. */
  readonly log: string
}
