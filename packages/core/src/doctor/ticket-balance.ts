import type { QueueName } from '../job/ticket.ts'
import type { Driver } from '../ports/driver.ts'
import type { Finding } from './finding.ts'
import { mostReady } from './survey.ts'
import type { Survey } from './survey.ts'

/** Ready jobs and tickets of one queue, where their numbers differ. */
export interface Imbalance {
  readonly queue: QueueName
  readonly ready: number
  readonly tickets: number
}

export function imbalances({ queues, depths }: Survey): Imbalance[] {
  return queues.flatMap(({ name, ready }) => {
    const tickets = depths.get(name)?.tickets
    const same = tickets === ready || (ready >= mostReady && (tickets ?? 0) >= mostReady)
    return tickets === undefined || same ? [] : [{ queue: name, ready, tickets }]
  })
}

/**
 * The differences that are in both surveys. Between a delivery and its claim, or a commit and its publish, a job has no
 * ticket on the broker for a moment. That is no finding.
 */
export function ticketFindings(first: Survey, second: Survey, driver: Driver): Finding[] {
  const before = new Map(imbalances(first).map((imbalance) => [imbalance.queue, imbalance]))
  const exact = driver.capabilities.depth === 'exact'
  const about = exact ? '' : 'about '
  return imbalances(second).flatMap(({ queue, ready, tickets }): Finding[] => {
    const earlier = before.get(queue)
    if (earlier === undefined || earlier.ready > earlier.tickets !== ready > tickets) return []
    const missing = Math.min(ready - tickets, earlier.ready - earlier.tickets)
    const extra = Math.min(tickets - ready, earlier.tickets - earlier.ready)
    const counts = `${ready} ready jobs in the log, ${about}${tickets} tickets on the broker`
    if (ready > tickets) {
      const message = `queue ${queue}: ${about}${missing} ready jobs have no ticket (${counts}); workers and relays fetch them later; errand doctor --repair publishes them now`
      return [{ severity: exact ? 'error' : 'info', code: 'tickets-missing', queue, message }]
    }
    const message = `queue ${queue}: ${about}${extra} tickets have no ready job (${counts}): repeated, forged, or of jobs that were taken from the log or cancelled; workers drop them`
    return [{ severity: exact ? 'warning' : 'info', code: 'tickets-stale', queue, message }]
  })
}

/** How many queues of one trouble are named. */
const namedQueues = 5

/** A broker that does not answer. What all queues meet is one finding, and not one for each. */
export function brokerFindings({ depths, queues: known }: Survey, driver: Driver): Finding[] {
  const met = Map.groupBy(depths, ([, { trouble }]) => trouble)
  return [...met].flatMap(([trouble, those]): Finding[] => {
    if (trouble === undefined) return []
    const queues = those.map(([queue]) => queue)
    const more = queues.length > namedQueues ? ` and ${queues.length - namedQueues} more` : ''
    const which = `queue${queues.length > 1 ? 's' : ''} ${queues.slice(0, namedQueues).join(', ')}${more}`
    // No queue of the log was asked for: it is the broker's matter alone.
    const about = known.length === 0 ? '' : ` for ${which}`
    const message = `${driver.name} does not answer${about}: ${trouble}`
    const [only] = known.length > 0 && queues.length === 1 ? queues : []
    return [{ severity: 'error', code: 'broker-unreachable', queue: only, message }]
  })
}
