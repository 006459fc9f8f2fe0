// Checks what a fleet has done since a mark, when it rests: the promises I1–I7, I9–I11 and I16, and the effects of jobs.
import type { EventRecord, EventType, JobLog, JobState } from '@errand/core/ports'
import { checkHistory, describeViolations, readFlows, readHistory, readNeeds, until } from '@errand/testkit'
import type { DispatchedJob, LedgerLine } from '@errand/testkit'
import { readEffects } from './app/effects.ts'
import { blocking, heldOnce, once, ordered, paid, skipping } from './app/jobs.ts'
import { pause } from './looks.ts'
import { splitMeta } from '../../packages/core/src/schedule/tick-meta.ts'

/** The beginning of the history that has not been checked yet. */
export interface Mark {
  readonly cursor: string
  readonly newest: string | undefined
}

/** What is checked together with the log, and is not in it. */
export interface Witness {
  /** The log's URL, whose database has the effects. */
  readonly url: string
  /** Jobs whose dispatch was answered since the mark. */
  readonly answered: readonly string[]
  readonly ledger: readonly LedgerLine[]
}

export interface Checked {
  readonly violations: readonly string[]
  /** Jobs by their final state. */
  readonly jobs: Readonly<Partial<Record<JobState, number>>>
  /** Events by their type. */
  readonly events: Readonly<Partial<Record<EventType, number>>>
}

export async function takeMark(log: JobLog): Promise<Mark> {
  const [newest] = await log.list({}, { limit: 1 })
  return { cursor: await log.end(), newest: newest?.id }
}

/** @param log in which every job has ended */
export async function checkSince(
  log: JobLog,
  since: Mark,
  { url, answered, ledger }: Witness,
): Promise<Checked> {
  const dispatched = await jobsSince(log, since.newest)
  const known = new Set(dispatched.map(({ id }) => id))
  // A job is lost if its dispatch was answered and the log does not list it. A duplicate may be of an earlier job.
  const missing: string[] = []
  for (const id of answered) if (!known.has(id) && (await log.get(id)) === undefined) missing.push(id)

  let events: readonly EventRecord[] = []
  let violations: readonly string[] = []
  const look = async (): Promise<boolean> => {
    events = await readHistory(log, { after: since.cursor })
    const whole = await completed(log, events, ledger)
    const found = checkHistory({
      events: whole,
      dispatched: [...dispatched, ...missing],
      ledger,
      live: [],
      needs: await readNeeds(log, whole),
      flows: await readFlows(log),
    })
    violations = [
      ...describeViolations(found).split('\n').filter(Boolean),
      ...checkEffects(await readEffects(url), dispatched, whole),
    ]
    return violations.length === 0
  }
  // PostgreSQL shows events to readers once no older transaction is open anywhere in the cluster: missing events may still come.
  await until(look, { withinMs: 20_000, pause }).catch(() => {})
  return {
    violations,
    jobs: countFinalStates(dispatched, events),
    events: countBy(events, ({ type }) => type),
  }
}

const policies: Readonly<Record<string, Omit<DispatchedJob, 'id'>>> = {
  [once.name]: { onCrash: 'fail' },
  [heldOnce.name]: { onCrash: 'fail' },
  [ordered.name]: { onFailure: 'block' },
  [blocking.name]: { onFailure: 'block' },
  [skipping.name]: { onFailure: 'skip' },
}

type Dispatched = DispatchedJob & { readonly name: string }

/** Jobs that are newer than this one, in the order of dispatch, and what is known of each. No schedule of a fleet is triggered. */
export async function jobsSince(log: JobLog, newest: string | undefined): Promise<readonly Dispatched[]> {
  const newestFirst: Dispatched[] = []
  for (;;) {
    const page = await log.list({}, { limit: 500, after: newestFirst.at(-1)?.id })
    const last = page.findIndex(({ id }) => id === newest)
    const fresh = last < 0 ? page : page.slice(0, last)
    newestFirst.push(
      ...fresh.map(({ id, name, meta }) => {
        const { tick } = splitMeta(meta)
        return {
          id,
          name,
          ...policies[name],
          tick: tick && { schedule: tick.schedule, at: tick.at.getTime() },
        }
      }),
    )
    if (last >= 0 || page.length === 0) return newestFirst.toReversed()
  }
}

/** A late worker may write an event of a job that was checked before. Then all events of that job are read again. */
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
  const again = await Promise.all(late.map((id) => log.readHistory(id)))
  return [...events.filter(({ jobId }) => oldest.get(jobId) === 1), ...again.flat()]
}

/** A job that has completed in the transaction of its effect has one effect; any other has none. */
function checkEffects(
  effects: readonly string[],
  dispatched: readonly Dispatched[],
  events: readonly EventRecord[],
): readonly string[] {
  const rows = countBy(effects, (id) => id)
  const succeeded = new Set(events.flatMap(({ type, jobId }) => (type === 'succeeded' ? [jobId] : [])))
  return dispatched
    .filter(({ name }) => name === paid.name)
    .flatMap(({ id }) => {
      const [has, should] = [rows[id] ?? 0, succeeded.has(id) ? 1 : 0]
      return has === should
        ? []
        : [`I2 job ${id}: its effect is there ${has} times, and should be ${should} times`]
    })
}

function countFinalStates(
  dispatched: readonly Dispatched[],
  events: readonly EventRecord[],
): Checked['jobs'] {
  const last = new Map<string, EventRecord>()
  for (const event of events)
    if (event.version > (last.get(event.jobId)?.version ?? 0)) last.set(event.jobId, event)
  const states = dispatched.flatMap(({ id }) => last.get(id)?.state ?? [])
  return countBy(states, (state) => state)
}

function countBy<T, K extends string>(
  values: readonly T[],
  toKey: (value: T) => K,
): Partial<Record<K, number>> {
  const counts: Partial<Record<K, number>> = {}
  for (const value of values) counts[toKey(value)] = (counts[toKey(value)] ?? 0) + 1
  return counts
}
