import { randomUUID } from 'node:crypto'
import { toFailure } from '../../src/failure/to-failure.ts'
import type { Claim, JobLog, SettledOutcome, WorkerRef } from '../../src/ports.ts'

/** A worker on a log that the test controls: it beats, takes and settles when the test says so. */
export interface HandWorker {
  readonly ref: WorkerRef
  take(queue?: string): Promise<Claim>
  settle(claim: Claim, outcome: SettledOutcome): Promise<void>
}

export async function handWorker(log: JobLog, queues: readonly string[] = ['default']): Promise<HandWorker> {
  const ref: WorkerRef = { id: randomUUID(), host: 'here', pid: 1, leaseMs: 30_000, graceMs: 25_000 }
  await log.beat(ref, { queues, taking: true, progress: [] })
  return {
    ref,
    async take(queue = 'default') {
      const [claim] = await log.take([queue], 1, ref, randomUUID())
      if (claim) return claim
      throw new Error(`queue ${queue} has no ready job`)
    },
    async settle({ id, run }, outcome) {
      await log.settle([{ id, run, durationMs: 1, outcome }], ref)
    },
  }
}

const json = (value: unknown): { codec: 'json'; text: string } => ({
  codec: 'json',
  text: JSON.stringify(value),
})
export const succeed = (result?: unknown): SettledOutcome => ({
  kind: 'succeed',
  result: result === undefined ? undefined : json(result),
})
export const failure = (message: string, retryInMs?: number): SettledOutcome => ({
  kind: 'error',
  cause: 'error',
  error: json(toFailure(new TypeError(message))),
  retryInMs,
})
