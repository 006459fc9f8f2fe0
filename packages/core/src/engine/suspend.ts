import type { EventData } from '../job/events.ts'
import { mostSteps, mostWaits } from '../job/memory.ts'
import type { NewWait, StoredStep } from '../job/memory.ts'
import type { SettledOutcome } from '../job/outcome.ts'
import { endedCalls, linkCall } from './called.ts'
import type { Advanced } from './advance.ts'
import { passLimit } from './gates.ts'
import { withRow } from './damaged-row.ts'
import { move } from './moves.ts'
import { plainError } from './storable.ts'
import type { JobRow, JobStore } from './store.ts'

type Suspension = Extract<SettledOutcome, { kind: 'suspend' }>

/** The outcome as the log can record it: a suspension with too many waits fails its job, because another run would end the same. */
export function boundedOutcome(store: JobStore, row: JobRow, outcome: SettledOutcome): SettledOutcome {
  if (outcome.kind !== 'suspend') return outcome
  const { steps } = store.stepTotals(row.id)
  const added = outcome.waits.filter(({ name }) => !store.step(row.id, name)).length
  if (outcome.waits.length <= mostWaits && steps + added <= mostSteps) return outcome
  const why = `the job waits for more than ${mostWaits} things at once, or has more than ${mostSteps} steps and waits`
  return { kind: 'fail', error: plainError(why, 'E_STEP_LIMIT'), cause: 'error' }
}

/** Ends a run whose handler waits. If one of its waits is over already, the job is resumed at once. */
export function suspend(
  store: JobStore,
  now: number,
  row: JobRow,
  { waits, memoryVersion }: Suspension,
  base: EventData,
): void {
  const passed = waits.filter((wait) => !keepWait(store, now, row, wait, memoryVersion))
  const times = store.openWaits(row.id).flatMap(({ until }) => until ?? [])
  row.attempt -= 1
  row.runAt = times.length === 0 ? undefined : Math.min(...times)
  const names = waits.map(({ name }) => name)
  move(store, now, row, 'suspended', 'suspended', {
    worker: row.worker,
    data: { ...base, waits: names, ...(row.runAt === undefined ? {} : { runAt: row.runAt }) },
  })
  resumeIfOver(
    store,
    now,
    row,
    now,
    passed.map(({ name }) => name),
  )
}

/** Stores a wait, unless it is stored. False: it is over. */
function keepWait(store: JobStore, now: number, row: JobRow, wait: NewWait, memoryVersion: number): boolean {
  const stored = store.step(row.id, wait.name)
  if (stored && stored.order !== undefined) return false
  if (wait.kind === 'call') linkCall(store, row, wait.name, wait.on)
  if (stored) return true
  store.saveStep({
    job: row.id,
    name: wait.name,
    kind: wait.kind,
    order: undefined,
    run: row.run,
    memoryVersion,
    at: undefined,
    durationMs: undefined,
    until: untilOf(now, wait),
    on: wait.kind === 'message' ? wait.message : wait.kind === 'call' ? wait.on : undefined,
    by: undefined,
    body: undefined,
    messageId: undefined,
  })
  return true
}

function untilOf(now: number, wait: NewWait): number | undefined {
  if (wait.kind === 'call') return undefined
  if (wait.kind === 'message') return wait.timeoutMs === undefined ? undefined : now + wait.timeoutMs
  return 'at' in wait.until ? wait.until.at : now + wait.until.delayMs
}

/** How a wait has ended, and when what ended it happened. */
interface Over {
  readonly wait: StoredStep
  readonly since: number
  readonly by: NonNullable<StoredStep['by']>
  readonly body?: StoredStep['body']
  readonly messageId?: string
  /** Who has sent the message. */
  readonly sender?: string
}

/**
 * Marks those waits of a suspended job that are over, in the order in which what ended them happened, and resumes the job if there are
 * any. It may be called at any time.
 * @param passed waits that were over before
 * @returns whether it has resumed the job
 */
export function resumeIfOver(
  store: JobStore,
  now: number,
  row: JobRow,
  publishAfter: number,
  passed: readonly string[] = [],
): boolean {
  const over = findOver(store, now, row)
  let { order } = over.length === 0 ? { order: 0 } : store.stepTotals(row.id)
  for (const { wait, by, body, messageId, sender } of over) {
    order += 1
    store.saveStep({ ...wait, job: row.id, order, at: now, by, body, messageId })
    if (messageId === undefined) continue
    store.takeMessage(row.id, messageId)
    move(store, now, row, 'received', 'suspended', { data: { waits: [wait.on ?? ''], by: sender } })
  }
  const names = [...passed, ...over.map(({ wait }) => wait.name)]
  if (names.length === 0) return false
  // The tries begin anew at each wait: the handler has come further.
  row.attempt = 0
  row.crashes = 0
  row.streak = 0
  row.resumedAt = now
  move(store, now, row, 'resumed', passLimit(store, row, publishAfter), { data: { waits: names } })
  return true
}

/** A suspended job may go on, because something that it called has ended. */
export function resumeCaller(store: JobStore, now: number, row: JobRow, publishAfter: number): Advanced {
  return withRow(store, row.id, () => resumeIfOver(store, now, row, publishAfter)) ? 'gated' : 'waits'
}

function findOver(store: JobStore, now: number, row: JobRow): Over[] {
  const open = store.openWaits(row.id)
  const received = takers(store, row, open)
  const calls = open.some(({ kind }) => kind === 'call') ? endedCalls(store, row) : undefined
  return open
    .flatMap((wait): Over | [] => {
      const message = received.get(wait.name)
      if (message) return message
      const call = calls?.get(wait.name)
      if (call) return { wait, since: now, by: call.state, body: call.body }
      return wait.until !== undefined && wait.until <= now ? { wait, since: wait.until, by: 'time' } : []
    })
    .toSorted((a, b) => a.since - b.since)
}

/** Which waits take the unread messages. The youngest wait of a name comes first: an older one that is still open has lost a race. */
function takers(store: JobStore, row: JobRow, open: readonly StoredStep[]): Map<string, Over> {
  const taken = new Map<string, Over>()
  const youngestFirst = open
    .filter(({ kind }) => kind === 'message')
    .toReversed()
    .toSorted((a, b) => b.run - a.run)
  for (const [name, waits] of Map.groupBy(youngestFirst, ({ on = '' }) => on))
    for (const [at, { id, by: sender, at: since, payload: body }] of store
      .unread(row.id, name, waits.length)
      .entries()) {
      const wait = waits[at]!
      taken.set(wait.name, { wait, since, by: 'message', body, messageId: id, sender })
    }
  return taken
}
