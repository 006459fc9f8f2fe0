import { mostTicketsPerMessage } from '../dispatch/packing.ts'
import type { QueueName } from '../job/ticket.ts'
import type { Driver } from '../ports/driver.ts'
import type { Finding } from './finding.ts'
import { mostReady } from './survey.ts'
import type { Survey } from './survey.ts'

/** Ready jobs and messages of one queue, where their numbers do not fit. */
export interface Imbalance {
  readonly queue: QueueName
  readonly ready: number
  readonly messages: number
  /** So many ready jobs at least have no ticket; negative: so many tickets at least have no ready job. */
  readonly missing: number
}

/** A broker counts messages. Where they hold several tickets, only what no number of tickets explains is found. */
export function imbalances(
  { queues, depths }: Survey,
  { capabilities }: Pick<Driver, 'capabilities'>,
): Imbalance[] {
  const most = capabilities.packs === true ? mostTicketsPerMessage : 1
  return queues.flatMap(({ name, ready }) => {
    const messages = depths.get(name)?.messages
    if (messages === undefined || (ready >= mostReady && messages >= mostReady / most)) return []
    const missing = Math.max(ready - messages * most, 0) || Math.min(ready - messages, 0)
    return missing === 0 ? [] : [{ queue: name, ready, messages, missing }]
  })
}

/**
 * The differences that are in both surveys. Between a delivery and its claim, or a commit and its publish, a job has no
 * ticket on the broker for a moment. That is no finding.
 */
export function ticketFindings(first: Survey, second: Survey, driver: Driver): Finding[] {
  const before = new Map(imbalances(first, driver).map((imbalance) => [imbalance.queue, imbalance]))
  const { depth, packs } = driver.capabilities
  const exact = depth === 'exact'
  const about = exact ? '' : 'about '
  const atLeast = exact && packs === true ? 'at least ' : about
  return imbalances(second, driver).flatMap(({ queue, ready, messages, missing: now }): Finding[] => {
    const earlier = before.get(queue)?.missing
    if (earlier === undefined || earlier > 0 !== now > 0) return []
    const missing = Math.min(now, earlier)
    const extra = Math.min(-now, -earlier)
    const waiting = packs === true ? 'messages with tickets' : 'tickets'
    const counts = `${ready} ready jobs in the log, ${about}${messages} ${waiting} on the broker`
    if (now > 0) {
      const message = `queue ${queue}: ${messages === 0 ? about : atLeast}${missing} ready jobs have no ticket (${counts}); workers and relays fetch them later; errand doctor --repair publishes them now`
      return [{ severity: exact ? 'error' : 'info', code: 'tickets-missing', queue, message }]
    }
    const message = `queue ${queue}: ${atLeast}${extra} tickets have no ready job (${counts}): repeated, forged, or of jobs that were taken from the log or cancelled; workers drop them`
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
