import type { ServerName, Urls } from '../servers/server.ts'
import type { Payload } from '../measure/payload.ts'

/** What is timed; each in processes of its own, on tables and queues of its own. */
export const phases = ['enqueue1', 'enqueueBulk', 'drain', 'latency'] as const
export type Phase = (typeof phases)[number]

/** Where a subject works: everything that it makes carries the name `space`, and the run removes it. */
export interface Place {
  /** Lower-case letters, digits and `_`: fit for a schema, a prefix and a queue. */
  readonly space: string
  readonly phase: Phase
  readonly urls: Urls
  /** For files: a temporary folder, removed at the end of the run. */
  readonly folder: string
  /** Worker processes that share the server: what a pool of connections may take depends on it. */
  readonly processes: number
}

/** One kind of queue, as a process has it opened. The harness asks for nothing else. */
export interface Subject {
  /** Makes tables and queues. */
  prepare(): Promise<void>
  /** Stores one job; resolves when it is as durable as the subject makes it. */
  enqueue1(payload: Payload): Promise<unknown>
  /** Stores many jobs by one call, or by what its documentation has for many. */
  enqueueBulk(payloads: readonly Payload[]): Promise<unknown>
  /** Starts a worker with `concurrency` slots. `started` is called as the first act of every handler, which does nothing else. */
  work(started: (payload: Payload) => void, concurrency: number): Promise<void>
  /** Leaves so many finished jobs behind; only where finished jobs are kept and a deep history is a question. */
  backlog?(count: number): Promise<void>
  close(): Promise<void>
}

export type OpenSubject = (place: Place) => Subject | Promise<Subject>

export interface SubjectEntry {
  readonly name: string
  readonly kind: 'errand' | 'peer' | 'limit'
  readonly needs: readonly ServerName[]
  /** Loaded only in the processes that measure it. */
  load(): Promise<OpenSubject>
}
