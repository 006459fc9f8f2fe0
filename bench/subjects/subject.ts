import type { Payload } from '../measure/payload.ts'
import type { Work } from '../measure/phases.ts'
import type { ServerName, Urls } from '../servers/server.ts'

/** The place where a subject works. Everything that it makes has the name `space`, and the run removes it. */
export interface Place {
  /** Lower-case letters, digits and `_`: fit for a schema, a prefix and a queue. */
  readonly space: string
  /** The name of the phase. */
  readonly phase: string
  readonly work: Work
  /** Followers that a process of their own has. */
  readonly followers: number
  readonly urls: Urls
  /** For files: a temporary folder, removed at the end of the run. */
  readonly folder: string
  /** Worker processes that share the server: the size of a connection pool depends on it. */
  readonly processes: number
}

/** A handler's first act. The job is done when its promise resolves. */
export type Started = (payload: Payload) => void | Promise<void>

/** One kind of queue, opened by a process. The harness uses only this. */
export interface Subject {
  /** Makes tables and queues. */
  prepare(): Promise<void>
  /** Stores one job; resolves when it is as durable as the subject makes it. */
  enqueue1(payload: Payload): Promise<unknown>
  /** Stores many jobs by one call, or in the way that its documentation has for many jobs. */
  enqueueBulk(payloads: readonly Payload[]): Promise<unknown>
  /** Starts a worker with `concurrency` slots. Every handler calls `started`, and does nothing else. */
  work(started: Started, concurrency: number): Promise<void>
  /** Leaves this many finished jobs behind. Only for subjects that keep finished jobs, if a deep history matters. */
  backlog?(count: number): Promise<void>
  /** Starts this many followers of all events. Resolves when each follows. `seen` gets the lowest number of ends that one has seen. */
  follow?(count: number, seen: (least: number) => void): Promise<void>
  /** Lists waiting jobs, as operators do. */
  lists?(): Promise<void>
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
