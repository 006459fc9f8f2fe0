import { isFinal } from '../job/state.ts'
import type { Note, ReplayReport } from '../ports/operations.ts'
import { askCallAgain } from './called.ts'
import { withRow } from './damaged-row.ts'
import { countEnd, countIn } from './flows.ts'
import { passGates } from './gates.ts'
import { toQueueKey, uniqueHolder } from './keys.ts'
import { move } from './moves.ts'
import { findViolated, waitsForNeeds } from './needs.ts'
import { findTickets } from './tickets.ts'
import type { FlowCount, FlowRow, JobRow, JobStore } from './store.ts'

interface ReplayOptions {
  /** What they remember goes. */
  readonly forget?: boolean | undefined
  /** Flows whose counts the caller takes anew afterwards. */
  readonly recounted?: ReadonlySet<string> | undefined
}

/** Starts final jobs anew. The caller has taken them out of the counts of their flows. */
export function replayRows(
  store: JobStore,
  now: number,
  rows: readonly JobRow[],
  note: Note,
  { forget = false, recounted = new Set() }: ReplayOptions = {},
): ReplayReport {
  const moved: JobRow[] = []
  const duplicates: string[] = []
  const unmet: string[] = []
  const forgotten: string[] = []
  const refuse = (row: JobRow): void => {
    // What needs it would wait for ever.
    together.delete(row.id)
    if (row.flow !== undefined && !recounted.has(row.flow)) countAgain(store, now, row)
  }
  const together = new Set(rows.map(({ id }) => id))
  // What is needed goes before what needs it.
  for (const row of rows.toSorted((a, b) => a.sequence - b.sequence)) {
    if (row.hasNeeds && !reopenNeeds(store, row, together)) {
      unmet.push(row.id)
      refuse(row)
      continue
    }
    if (row.uniqueKey !== undefined) {
      if (uniqueHolder(store, now, row.name, row.uniqueKey, row.id) !== undefined) {
        duplicates.push(row.id)
        refuse(row)
        continue
      }
      store.setUnique(row.name, row.uniqueKey, { jobId: row.id, freeAt: undefined })
    }
    if (forget || row.state === 'succeeded') {
      row.replays += 1
      forgotten.push(row.id)
    } else askCallAgain(store, row)
    row.attempt = 0
    row.crashes = 0
    row.streak = 0
    row.parkedSince = undefined
    row.cancelBy = undefined
    row.cancelReason = undefined
    takeOver(store, row)
    const state = passGates(store, row, { runAt: now, now, publishAfter: now })
    withRow(store, row.id, () =>
      move(store, now, row, 'replayed', state, { data: { by: note.by, reason: note.reason } }),
    )
    moved.push(row)
  }
  // They do everything anew. What failed goes on where it failed.
  if (forgotten.length > 0) store.forget(forgotten)
  return { replayed: moved.length, duplicates, unmet, tickets: findTickets(store, now, moved) }
}

/** What is started anew together with the job is open again. Returns whether the rest has ended as it must. */
function reopenNeeds(store: JobStore, { id }: JobRow, together: ReadonlySet<string>): boolean {
  const needs = store.needsOf(id)
  for (const need of needs)
    if (together.has(need.on)) store.saveNeed(Object.assign(need, { state: undefined, body: undefined }))
  return findViolated(needs) === undefined
}

/**
 * A job that is started anew may find its ordering key with a newer job that waits for what it needs, and has not started. Then it goes
 * first: no job may wait for a newer one, or two could wait for each other.
 */
function takeOver(store: JobStore, row: JobRow): void {
  const key = toQueueKey(row)
  const id = key && store.holder(key)
  if (!key || id === undefined || id === row.id || store.contention?.jobIsLocked(id)) return
  const holder = store.row(id)
  if (!holder || isFinal(holder.state) || holder.sequence < row.sequence) return
  if (holder.state !== 'blocked' && holder.state !== 'scheduled') return
  if (waitsForNeeds(store, holder)) store.setHolder(key, row.id)
}

/** Takes the end of a member back from its flow, if that runs: it will end again. */
export function uncount(store: JobStore, now: number, member: JobRow | FlowRow): void {
  change(store, now, member, -1)
}

function countAgain(store: JobStore, now: number, member: JobRow): void {
  change(store, now, member, 1)
}

function change(store: JobStore, now: number, member: JobRow | FlowRow, sign: 1 | -1): void {
  if (member.flow === undefined) return
  const count = Object.entries(countEnd(store, member)).map(([what, n]) => [what, sign * n])
  countIn(store, now, member.flow, Object.fromEntries(count) as FlowCount)
}
