import type { Encoded } from '../ports/codec.ts'
import type { Fence } from './claim.ts'

/** What a handler waits for. Its name is unique among the steps and waits of the job. */
export type NewWait = { readonly name: string } & (
  | { readonly kind: 'sleep'; readonly until: { readonly delayMs: number } | { readonly at: number } }
  | { readonly kind: 'message'; readonly message: string; readonly timeoutMs: number | undefined }
  /** A job or a flow, by its id. */
  | { readonly kind: 'call'; readonly on: string }
)

/** A step that has returned. */
export interface NewStep extends Fence {
  readonly name: string
  readonly memoryVersion: number
  readonly durationMs: number
  /** What it returned; undefined: nothing. */
  readonly result: Encoded | undefined
}

/** A step or a wait, as the log keeps it with its job. */
export interface StoredStep {
  readonly name: string
  readonly kind: 'step' | 'sleep' | 'message' | 'call'
  /** In which order they were completed, from 1 on. Undefined: the wait is not over. */
  readonly order: number | undefined
  /** The run that stored it, and the version of the handler's memory then. */
  readonly run: number
  readonly memoryVersion: number
  /** When it was completed, ms since the epoch. */
  readonly at: number | undefined
  readonly durationMs: number | undefined
  /** When the wait is over at the latest, ms since the epoch. */
  readonly until: number | undefined
  /** The name of the message, or the id of the job or flow that is called. */
  readonly on: string | undefined
  /** What ended the wait: `time`, `message`, or how what it called has ended. Undefined for a step. */
  readonly by: 'time' | 'message' | 'succeeded' | 'failed' | 'cancelled' | undefined
  /**
   * The result of a step, the payload of a message, the result or error of what was called. A codec binds it to this job as
   * `step NAME` (a step), to the message's id as `message NAME`, or to the called job as its result or error.
   */
  readonly body: Encoded | undefined
  /** The id of the message. */
  readonly messageId: string | undefined
}

/** A message for one job. */
export interface NewMessage {
  /** Any UUID. Two with the same id are one. */
  readonly id: string
  readonly job: string
  readonly name: string
  readonly payload: Encoded
  readonly by: string
}

/** A message that no wait has taken. */
export interface UnreadMessage {
  readonly id: string
  readonly name: string
  readonly by: string
  readonly at: number
  readonly payload: Encoded
}

export const mostSteps = 1_000
export const mostWaits = 100
export const mostUnread = 1_000
/** Of the text of one result, and of all of a job, in characters. */
export const longestStepResult = 65_536
export const longestMemory = 4_194_304
