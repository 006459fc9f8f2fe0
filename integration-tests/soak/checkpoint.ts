// Every minute the fleet rests for a moment: every job ends, and everything that happened since the last time is checked
// and forgotten, so that a soak may last for as long as somebody wants.
import type { EventRecord, EventType, JobLog, JobState } from '@errand/core/ports'
import { checkHistory, describeViolations, readHistory, until } from '@errand/testkit'
import type { DispatchedJob, LedgerLine } from '@errand/testkit'
import { readEffects } from '../faults/app/effects.ts'
import { lasts } from '../faults/stories/common.ts'
import { blocking, paid, skipping } from '../faults/app/jobs.ts'
import { once, ordered } from '../fleet/app/jobs.ts'
import { pause } from '../fleet/looks.ts'
import type { Fleet } from './fleet.ts'

const by = 'the soak'
/** A job whose ticket was published again in vain is overdue anew half a minute later. */
const allEndWithinMs = 90_000
/** PostgreSQL shows events to readers once no older transaction is open: what is missing may come. */
const lateEventsMs = 5_000
const betweenLooksMs = 1_000

/** Where the history that was not checked yet begins. */
export interface Mark {
  readonly cursor: string
  readonly newest: string | undefined
}

export interface Checked {
  readonly violations: readonly string[]
  /** Jobs by their final state. */
  readonly jobs: Readonly<Partial<Record<JobState, number>>>
  /** Events by their type. */
  readonly events: Readonly<Partial<Record<EventType, number>>>
  readonly next: Mark
}

export async function markOf(log: JobLog): Promise<Mark> {
  const [newest] = await log.list({}, { limit: 1 })
  return { cursor: await log.end(), newest: newest?.id }
}

/** Dispatching pauses, every job ends, and the history since the mark is checked: I1–I7, and the effects of jobs. */
export async function checkpoint(fleet: Fleet, since: Mark): Promise<Checked> {
  await fleet.rest()
  const { log } = fleet
  await until(() => hasEnded(fleet), { what: 'every job has ended', withinMs: allEndWithinMs, pause }).catch(
    async (error: unknown) => {
      const live = (await log.queues()).map((queue) => JSON.stringify(queue))
      throw new Error(`I1 not every job ends:\n${live.join('\n')}`, { cause: error })
    },
  )
  const answered = fleet.takeDispatched()
  const ledger = fleet.takeLedger()
  const dispatched = await jobsSince(log, since.newest)
  const known = new Set(dispatched.map(({ id }) => id))
  // What a dispatcher was answered, and the log does not list, is lost; a duplicate may be of an earlier job.
  const missing: string[] = []
  for (const id of answered) if (!known.has(id) && (await log.get(id)) === undefined) missing.push(id)

  let events: readonly EventRecord[] = []
  const look = async (): Promise<readonly string[]> => {
    events = await readHistory(log, { after: since.cursor })
    const whole = await completed(log, events, ledger)
    const found = checkHistory({ events: whole, dispatched: [...dispatched, ...missing], ledger, live: [] })
    const effects = await effectsOf(fleet, dispatched, whole)
    return [...describeViolations(found).split('\n').filter(Boolean), ...effects]
  }
  let violations = await look()
  for (let waitedMs = 0; violations.length > 0 && waitedMs < lateEventsMs; waitedMs += betweenLooksMs) {
    await lasts(betweenLooksMs)
    violations = await look()
  }
  return {
    violations,
    jobs: finalStatesOf(dispatched, events),
    events: countedBy(events, ({ type }) => type),
    next: await markOf(log),
  }
}

/** Keys whose holder has failed for good wait for an operator: that is us. */
async function hasEnded({ log, errand }: Fleet): Promise<boolean> {
  for (const { holder } of await errand.jobs.blockedKeys()) await errand.jobs.skip(holder, { by })
  return (await log.queues()).every(
    ({ ready, scheduled, blocked, running }) => ready + scheduled + blocked + running === 0,
  )
}

const policies: Readonly<Record<string, Omit<DispatchedJob, 'id'>>> = {
  [once.name]: { onCrash: 'fail' },
  [ordered.name]: { onFailure: 'block' },
  [blocking.name]: { onFailure: 'block' },
  [skipping.name]: { onFailure: 'skip' },
}

type Dispatched = DispatchedJob & { readonly name: string }

/** In the order of dispatch. */
async function jobsSince(log: JobLog, newest: string | undefined): Promise<readonly Dispatched[]> {
  const newestFirst: Dispatched[] = []
  for (;;) {
    const page = await log.list({}, { limit: 500, after: newestFirst.at(-1)?.id })
    const last = page.findIndex(({ id }) => id === newest)
    const fresh = last < 0 ? page : page.slice(0, last)
    newestFirst.push(...fresh.map(({ id, name }) => ({ id, name, ...policies[name] })))
    if (last >= 0 || page.length === 0) return newestFirst.toReversed()
  }
}

/** What a late worker tells belongs to a job of which the rest was checked before: then all of it is read again. */
async function completed(
  log: JobLog,
  events: readonly EventRecord[],
  ledger: readonly LedgerLine[],
): Promise<readonly EventRecord[]> {
  const oldest = new Map<string, number>()
  for (const { jobId, version } of events)
    oldest.set(jobId, Math.min(version, oldest.get(jobId) ?? Number.POSITIVE_INFINITY))
  const ids = new Set([...oldest.keys(), ...ledger.map(({ jobId }) => jobId)])
  const late = [...ids].filter((id) => oldest.get(id) !== 1)
  if (late.length === 0) return events
  const again = await Promise.all(late.map((id) => log.eventsOf(id)))
  return [...events.filter(({ jobId }) => oldest.get(jobId) === 1), ...again.flat()]
}

/** A job that has completed in the transaction of its effect has it once; any other has none. */
async function effectsOf(
  { servers }: Fleet,
  dispatched: readonly Dispatched[],
  events: readonly EventRecord[],
): Promise<readonly string[]> {
  const rows = new Map<string, number>()
  for (const id of await readEffects(servers.log)) rows.set(id, (rows.get(id) ?? 0) + 1)
  const succeeded = new Set(events.flatMap(({ type, jobId }) => (type === 'succeeded' ? [jobId] : [])))
  return dispatched
    .filter(({ name }) => name === paid.name)
    .flatMap(({ id }) => {
      const [has, should] = [rows.get(id) ?? 0, succeeded.has(id) ? 1 : 0]
      return has === should
        ? []
        : [`I2 job ${id}: its effect is there ${has} times, and should be ${should} times`]
    })
}

function finalStatesOf(
  dispatched: readonly Dispatched[],
  events: readonly EventRecord[],
): Readonly<Partial<Record<JobState, number>>> {
  const last = new Map<string, EventRecord>()
  for (const event of events)
    if (event.version > (last.get(event.jobId)?.version ?? 0)) last.set(event.jobId, event)
  const states = dispatched.flatMap(({ id }) => last.get(id)?.state ?? [])
  return countedBy(states, (state) => state)
}

function countedBy<T, K extends string>(
  values: readonly T[],
  of: (value: T) => K,
): Partial<Record<K, number>> {
  const counts: Partial<Record<K, number>> = {}
  for (const value of values) counts[of(value)] = (counts[of(value)] ?? 0) + 1
  return counts
}
