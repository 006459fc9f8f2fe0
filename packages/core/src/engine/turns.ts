import type { RequestId } from '../job/claim.ts'
import type { Ticket } from '../job/ticket.ts'
import type { JobRow, JobStore } from './store.ts'

/**
 * Gives a job that becomes ready its turn. A new one gets the turn after the newest of its key, or the current one if that is later
 * or its key has none: a key with one job stands behind one job of each other key, and not behind all of them. A job that becomes
 * ready later never gets the current turn: its sequence is old, and a key whose jobs do so one by one would always go first.
 * A job that comes back from a run keeps its turn, but never one before the current: new keys would begin there, and overtake all others.
 */
export function giveTurn(store: JobStore, row: Omit<JobRow, 'sequence'>): void {
  if (row.shareKey === undefined) return
  const { newest = -1, current } = store.turns(row.queue, row.lane, row.shareKey)
  const isNew = row.version === 0
  const earliest = current === undefined ? 0 : isNew ? current : current + 1
  row.turn = row.turn === undefined ? Math.max(newest + 1, earliest) : Math.max(row.turn, current ?? 0)
}

/** The picked jobs that share give the places that they have together to the jobs whose turn it is. The others keep theirs. */
export function byTurn(store: JobStore, picked: readonly JobRow[]): readonly JobRow[] {
  const sharing = picked.filter(({ turn }) => turn !== undefined)
  if (sharing.length === 0) return picked
  const lines = Map.groupBy(sharing, toLine)
  const next = new Map(
    [...lines].map(([line, rows]) => {
      const { queue, lane } = rows[0]!
      return [line, store.inTurn(queue, lane, rows.length).values()] as const
    }),
  )
  return picked.flatMap((row) => (row.turn === undefined ? row : (next.get(toLine(row))?.next().value ?? [])))
}

/** The jobs that the tickets of one claim are rights to. Read when a ticket first asks, before it starts one. */
export class TurnLine {
  readonly #store: JobStore
  readonly #tickets: readonly Ticket[]
  readonly #worker: string
  readonly #request: RequestId
  readonly #lines = new Map<string, JobRow[]>()
  #granted: readonly string[] = []
  #repeated: JobRow[] | undefined

  constructor(store: JobStore, tickets: readonly Ticket[], worker: string, request: RequestId) {
    this.#store = store
    this.#tickets = tickets
    this.#worker = worker
    this.#request = request
  }

  /** The next job that this very request was granted before, by the ticket of another job. */
  repeated(): JobRow | undefined {
    return this.#ofOthers().shift()
  }

  /** How many jobs this very request was granted before, without those that it has been told of. */
  left(told: ReadonlySet<string>): number {
    this.#ofOthers()
    return this.#granted.filter((id) => !told.has(id)).length
  }

  #ofOthers(): JobRow[] {
    if (this.#repeated) return this.#repeated
    const own = new Set(this.#tickets.map(({ id }) => id))
    const runs = this.#store.claimsOf(this.#worker).filter(({ request }) => request === this.#request)
    this.#granted = runs.map(({ id }) => id)
    return (this.#repeated = runs.filter(({ id }) => !own.has(id)))
  }

  isEmpty(row: JobRow): boolean {
    return this.#of(row).length === 0
  }

  /** The job whose turn it is in the queue and lane of this one. */
  next(row: JobRow): JobRow | undefined {
    return this.#of(row).shift()
  }

  #of(row: JobRow): JobRow[] {
    const known = this.#lines.get(toLine(row))
    if (known) return known
    const line = this.#store.inTurn(row.queue, row.lane, this.#tickets.length)
    this.#lines.set(toLine(row), line)
    return line
  }
}

function toLine({ queue, lane }: JobRow): string {
  return `${lane} ${queue}`
}
