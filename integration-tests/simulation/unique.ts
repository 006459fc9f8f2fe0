import { isFinal } from '@errand/core/ports'
import type { JobRow } from '@errand/core/engine'
import type { EventRecord } from '@errand/core/ports'

interface Hold {
  readonly id: string
  readonly fromMs: number
  readonly toMs: number
  /** The position of its event in the log, which orders events of one millisecond. */
  readonly from: number
  readonly to: number
}

/** The times in which a job held its unique key, by its events. */
function listHolds(row: JobRow, events: readonly EventRecord[]): Hold[] {
  const holds: Hold[] = []
  let from: EventRecord | undefined
  for (const event of events) {
    if (event.type === 'dispatched' || event.type === 'replayed') from ??= event
    const frees = isFinal(event.state) || (event.type === 'started' && row.uniqueUntil === 'started')
    if (!from || !frees) continue
    holds.push({ id: row.id, fromMs: from.at, toMs: event.at, from: at(from), to: at(event) })
    from = undefined
  }
  if (from) holds.push({ id: row.id, fromMs: from.at, toMs: Infinity, from: at(from), to: Infinity })
  return holds
}

/** Finds two jobs that held one key at the same time. */
export function uniqueOverlaps(
  rows: readonly JobRow[],
  eventsOf: ReadonlyMap<string, readonly EventRecord[]>,
): string[] {
  const keyed = rows.filter(({ uniqueKey }) => uniqueKey !== undefined)
  const byKey = Map.groupBy(keyed, ({ name, uniqueKey }) => `${name}/${uniqueKey}`)
  return [...byKey].flatMap(([key, ofKey]) => {
    const holds = ofKey
      .flatMap((row) => listHolds(row, eventsOf.get(row.id) ?? []))
      .toSorted((a, b) => a.from - b.from)
    return holds.flatMap((hold, index) => {
      const next = holds[index + 1]
      return next && next.from < hold.to
        ? [`jobs ${hold.id} and ${next.id} held the key ${key} at the same time`]
        : []
    })
  })
}

/** Whether a dispatch could be a duplicate of this job at some moment between the two. */
export function heldUnique(
  row: JobRow,
  events: readonly EventRecord[],
  fromMs: number,
  toMs: number,
): boolean {
  const { uniqueForMs } = row
  if (uniqueForMs !== undefined && row.dispatchedAt + uniqueForMs >= fromMs) return true
  return listHolds(row, events).some((hold) => hold.fromMs <= toMs && hold.toMs >= fromMs)
}

/** The cursor of a log of one process: `epoch.position`. */
function at(event: EventRecord): number {
  return Number(event.cursor.split('.')[1])
}
