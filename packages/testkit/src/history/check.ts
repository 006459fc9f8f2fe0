import type { EventRecord } from '@errand/core/ports'
import { checkClaims } from './claims.ts'
import { checkFlows } from './flows.ts'
import { checkLedger } from './ledger.ts'
import { checkNeeds } from './needs.ts'
import { checkOrder } from './order.ts'
import { checkPath } from './path.ts'
import { checkPresence } from './presence.ts'
import { checkTicks } from './ticks.ts'
import type { HistoryToCheck, JobHistory, ProcessViolation, Violation } from './types.ts'

/**
 * Checks what a log has recorded, and what handlers did, against the invariants I1–I7, I9–I11 and I16. Pure: it reads only its argument.
 * An empty answer means that nothing is wrong.
 * @example
 * const dispatched = await readDispatched(log)
 * expect(checkHistory({ events: await readHistory(log), dispatched })).toEqual([])
 */
export function checkHistory(history: HistoryToCheck): Violation[] {
  const jobs = groupHistories(history)
  const eventsOf = (id: string): readonly EventRecord[] => jobs.get(id)?.events ?? []
  const dispatched = history.dispatched.flatMap(
    (job) => jobs.get(typeof job === 'string' ? job : job.id) ?? [],
  )
  return [
    ...checkPresence(dispatched, history.live),
    ...[...jobs.values()].flatMap((job) => [...checkPath(job), ...checkClaims(job)]),
    ...checkOrder(dispatched),
    ...checkTicks(dispatched),
    ...checkNeeds(dispatched, eventsOf),
    ...checkFlows(history.flows ?? [], dispatched, eventsOf),
    ...(history.ledger ? checkLedger(jobs, dispatched, history.ledger) : []),
  ]
}

/** The violations as text, one per line, for a test's message or a report. */
export function describeViolations(violations: readonly (Violation | ProcessViolation)[]): string {
  return violations
    .map((violation) => {
      const where = violation.invariant === 'I8' ? violation.subject : `job ${violation.jobId}`
      return `${violation.invariant} ${where}: ${violation.text}`
    })
    .join('\n')
}

function groupHistories({ events, dispatched, needs }: HistoryToCheck): Map<string, JobHistory> {
  const eventsOf = new Map<string, EventRecord[]>()
  for (const event of events) {
    const ofJob = eventsOf.get(event.jobId)
    if (ofJob) ofJob.push(event)
    else eventsOf.set(event.jobId, [event])
  }
  const policies = dispatched.map((job) => (typeof job === 'string' ? { id: job } : job))
  const policyOf = new Map(policies.map((policy) => [policy.id, policy]))
  const ids = new Set([...policyOf.keys(), ...eventsOf.keys()])
  return new Map(
    [...ids].map((id) => {
      const { onFailure, onCrash, tick } = policyOf.get(id) ?? {}
      const ofJob = (eventsOf.get(id) ?? []).toSorted((a, b) => a.version - b.version)
      return [id, { id, events: ofJob, onFailure, onCrash, tick, needs: needs?.get(id) ?? [] }]
    }),
  )
}
