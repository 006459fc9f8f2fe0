import { randomUUID } from 'node:crypto'
import type {
  Encoded,
  Logger,
  NewJob,
  Refused,
  ReleaseReason,
  Settled,
  Settlement,
  SettledOutcome,
  Ticket,
  WorkerRef,
} from '@errand/core/ports'

/** A value as a codec gives it to the log. */
export function encoded(value: unknown): Encoded {
  return { codec: 'json', text: JSON.stringify(value) }
}

/** An error as a worker gives it to the log. */
export function failure(message: string): Encoded {
  return encoded({ name: 'Error', message })
}

/** A job that is ready at once, with a short ticket grace. Every part can be overridden. */
export function newJob(overrides: Partial<NewJob> = {}): NewJob {
  return {
    id: randomUUID(),
    name: 'test.job',
    payloadVersion: 1,
    queue: 'test',
    lane: 'normal',
    payload: encoded({ greeting: 'hello' }),
    tags: [],
    meta: {},
    maxAttempts: 5,
    maxCrashes: 3,
    onCrash: 'retry',
    timeoutMs: 900_000,
    publishGraceMs: 30_000,
    ...overrides,
  }
}

/** A worker process that has just started: a fresh id, a lease of 30 s, a grace of 1 s. */
export function workerRef(overrides: Partial<WorkerRef> = {}): WorkerRef {
  return {
    id: randomUUID(),
    host: 'host.test',
    pid: process.pid,
    leaseMs: 30_000,
    graceMs: 1_000,
    ...overrides,
  }
}

export function newTicket(overrides: Partial<Ticket> = {}): Ticket {
  return { id: randomUUID(), queue: 'test', lane: 'normal', log: 'testlog', ...overrides }
}

/** How a run ended, in short: `settlement(claim, outcomes.succeed())`. */
export function settlement(
  fence: { readonly id: string; readonly run: number },
  outcome: SettledOutcome,
): Settlement {
  return { id: fence.id, run: fence.run, durationMs: 12, outcome }
}

/** The answers of a log that refused no settlement. */
export function recorded(answers: readonly (Settled | Refused)[]): Settled[] {
  return answers.map((answer) => {
    if (answer.result !== 'refused') return answer
    throw new Error(`the log refused the outcome of job ${answer.id}: ${answer.why}`)
  })
}

/** Every outcome that a run can have, with parts that rarely matter filled in. */
export const outcomes = {
  succeed: (result?: Encoded): SettledOutcome => ({ kind: 'succeed', ...(result ? { result } : {}) }),
  retry: (retryInMs: number, error: Encoded = failure('it broke')): SettledOutcome => ({
    kind: 'error',
    error,
    cause: 'error',
    retryInMs,
  }),
  exhaust: (error: Encoded = failure('it broke again')): SettledOutcome => ({
    kind: 'error',
    error,
    cause: 'error',
    retryInMs: undefined,
  }),
  fail: (error: Encoded = failure('there is no hope')): SettledOutcome => ({
    kind: 'fail',
    error,
    cause: 'error',
  }),
  snooze: (delayMs: number, reason?: string): SettledOutcome => ({ kind: 'snooze', delayMs, reason }),
  park: (delayMs: number): SettledOutcome => ({ kind: 'snooze', delayMs, parked: true }),
  cancel: (reason?: string): SettledOutcome => ({ kind: 'cancel', reason }),
  release: (begun: boolean, why: ReleaseReason = begun ? 'asked' : 'shutdown'): SettledOutcome => ({
    kind: 'release',
    why,
    begun,
    error: failure('the worker stopped'),
  }),
  completed: (retryInMs?: number): SettledOutcome => ({
    kind: 'completed',
    error: failure('the transaction was rolled back'),
    retryInMs,
  }),
} as const

/** Drops every line: what a log or driver says is not part of its conformance. */
export const quietLogger: Logger = {
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
}
