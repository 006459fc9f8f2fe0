import type { Cursor } from '../job/events.ts'
import type { QueueName } from '../job/ticket.ts'
import type { JobLog } from '../ports/job-log.ts'
import type { WorkerRecord } from '../ports/operations.ts'
import type { Finding } from './finding.ts'
import { describeWorker } from './worker-name.ts'
import type { Survey } from './survey.ts'

/** Longer than the grace of a first ticket and the time in which workers take overdue jobs from the log. */
const waitsTooLongMs = 60_000
const jobsLookedAt = 5
const eventsLookedAt = 1_000

/** Workers that say they take jobs, and run none. */
export function idleWorkers({ queues, workers }: Survey): WorkerRecord[] {
  const waiting = new Set(
    queues.filter(({ paused, limit, ready }) => !paused && !limit && ready > 0).map(({ name }) => name),
  )
  return workers.filter(
    ({ alive, taking, stopping, running, queues: served }) =>
      alive && taking && !stopping && running === 0 && served.some((queue) => waiting.has(queue)),
  )
}

/** Of those that were idle in both surveys, the ones that have started nothing in between although a job of theirs has waited too long. */
export async function idleFindings(
  log: JobLog,
  first: Survey,
  second: Survey,
  since: Cursor,
): Promise<Finding[]> {
  const before = new Set(idleWorkers(first).map(({ id }) => id))
  const { events } = await log.read({ after: since, limit: eventsLookedAt })
  const started = new Set(
    events.flatMap(({ type, worker }) => (type === 'started' && worker ? [worker] : [])),
  )
  const idle = idleWorkers(second).filter(({ id }) => before.has(id) && !started.has(id))
  // By the log's clock, which a beat has read a moment ago.
  const nowMs = Math.max(0, ...second.workers.map(({ lastSeen }) => lastSeen))
  const paused = new Set(second.queues.filter((queue) => queue.paused).map(({ name }) => name))
  const findings: Finding[] = []
  for (const worker of idle) {
    if (nowMs - worker.startedAt < waitsTooLongMs) continue
    const queues = worker.queues.filter((queue) => !paused.has(queue))
    const found = await longestWait(log, queues, nowMs)
    if (found === undefined) continue
    const { queue, id, ms } = found
    const message = `${describeWorker(worker)} says that it takes jobs, and starts none: job ${id} of queue ${queue} has been ready for ${Math.round(ms / 1_000)} s; look at its output, and restart it (errand workers stop ${worker.id})`
    findings.push({ severity: 'error', code: 'worker-idle', queue, message })
  }
  return findings
}

/** A job of these queues that has been ready for too long; looks at a few of those that were dispatched long enough ago. */
async function longestWait(
  log: JobLog,
  queues: readonly QueueName[],
  nowMs: number,
): Promise<{ readonly queue: QueueName; readonly id: string; readonly ms: number } | undefined> {
  for (const queue of queues) {
    const filter = { queue, state: 'ready', before: nowMs - waitsTooLongMs } as const
    for (const { id } of await log.list(filter, { limit: jobsLookedAt })) {
      const readySince = (await log.readHistory(id)).at(-1)?.at ?? nowMs
      if (nowMs - readySince >= waitsTooLongMs) return { queue, id, ms: nowMs - readySince }
    }
  }
  return undefined
}
