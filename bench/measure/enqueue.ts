import type { Subject } from '../subjects/subject.ts'
import { makePayload, makePayloads } from './payload.ts'
import { mostSeconds } from './phases.ts'
import { clockMs, workload } from './task.ts'

export interface Enqueued {
  readonly jobs: number
  readonly rate: number
}

/** n single dispatches, with a fixed number in flight; fewer if the time is over. */
export async function enqueue1(subject: Subject, n: number, bytes: number): Promise<Enqueued> {
  let next = 0
  const from = clockMs()
  const until = from + 1_000 * mostSeconds
  const one = async (): Promise<void> => {
    while (next < n && clockMs() < until) await subject.enqueue1(makePayload(next++, bytes))
  }
  await Promise.all(Array.from({ length: Math.min(workload.inFlight, n) }, one))
  return { jobs: next, rate: (1_000 * next) / (clockMs() - from) }
}

/** n jobs in bulk calls, one after the other; fewer if the time is over. */
export async function enqueueBulk(subject: Subject, n: number, bytes: number): Promise<Enqueued> {
  let next = 0
  const from = clockMs()
  const until = from + 1_000 * mostSeconds
  while (next < n && clockMs() < until) {
    const size = Math.min(workload.bulk, n - next)
    await subject.enqueueBulk(makePayloads(next, size, bytes))
    next += size
  }
  return { jobs: next, rate: (1_000 * next) / (clockMs() - from) }
}

/** Dispatches n jobs for a later phase: nothing is timed, and calls may overlap. */
export async function fill(subject: Subject, n: number, bytes: number): Promise<void> {
  let next = 0
  const calls = async (): Promise<void> => {
    while (next < n) {
      const [from, size] = [next, Math.min(workload.bulk, n - next)]
      next += size
      await subject.enqueueBulk(makePayloads(from, size, bytes))
    }
  }
  await Promise.all(Array.from({ length: workload.fillers }, calls))
}

/** Makes connections, plans and compiled code first, because the costs that a process has only once are not measured. */
export async function warmUp(
  subject: Subject,
  role: 'enqueue1' | 'enqueueBulk',
  bytes: number,
): Promise<void> {
  if (role === 'enqueue1') await enqueue1(subject, workload.inFlight, bytes)
  else await enqueueBulk(subject, workload.bulk, bytes)
}
