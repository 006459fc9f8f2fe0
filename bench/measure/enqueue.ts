import type { Subject } from '../subjects/subject.ts'
import { makePayload, makePayloads } from './payload.ts'
import { clockMs, workload } from './task.ts'

/** Seconds for n single dispatches, so many in flight. */
export async function enqueue1(subject: Subject, n: number): Promise<number> {
  let next = 0
  const one = async (): Promise<void> => {
    while (next < n) await subject.enqueue1(makePayload(next++))
  }
  const from = clockMs()
  await Promise.all(Array.from({ length: Math.min(workload.inFlight, n) }, one))
  return (clockMs() - from) / 1_000
}

/** Seconds for n jobs in bulk calls, one after the other. */
export async function enqueueBulk(subject: Subject, n: number): Promise<number> {
  const from = clockMs()
  for (let at = 0; at < n; at += workload.bulk)
    await subject.enqueueBulk(makePayloads(at, Math.min(workload.bulk, n - at)))
  return (clockMs() - from) / 1_000
}

/** The connection, the plans, the compiled code: what a process pays once is not what is measured. */
export async function warmUp(subject: Subject, role: 'enqueue1' | 'enqueueBulk'): Promise<void> {
  if (role === 'enqueue1') await enqueue1(subject, workload.inFlight)
  else await enqueueBulk(subject, workload.bulk)
}
