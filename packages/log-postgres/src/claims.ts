import { laneRank } from '@errand/core/ports'
import type {
  Claim,
  ClaimOptions,
  Lane,
  Logger,
  QueueName,
  RequestId,
  TakeOptions,
  Ticket,
  Verdict,
  WorkerRef,
} from '@errand/core/ports'
import { splitIntoBatches } from './batches.ts'
import type { Database, Row, Value } from './database.ts'
import { arrayLiteral, isUuid, jsonMembers } from './literals.ts'
import { despiteData } from './set-aside.ts'
import { claimColumns, maybeNumber, number, strings, tagsAt, toClaim } from './rows.ts'
import { TakeMarks } from './take-marks.ts'

const claimAt = 2

/** A take that is asked for. */
export interface Taking {
  readonly queues: readonly QueueName[]
  /** The parameters of the rule. */
  readonly values: readonly Value[]
  /** Reads the rows of its answer, each of which begins at this column. */
  readonly read: (rows: readonly Row[], at: number) => readonly Claim[]
  /** If nothing was found, it may look elsewhere, in another statement. */
  readonly elsewhere: (claims: readonly Claim[]) => Promise<readonly Claim[]>
}

/** Claims by ticket and by order: `claim` and `take` of the port. */
export class Claims {
  readonly #database: Database
  readonly #logger: Logger
  readonly #logId: () => string
  readonly #marks = new TakeMarks()
  readonly #claimText: string
  readonly #takeText: string

  constructor(database: Database, logger: Logger, logId: () => string) {
    this.#database = database
    this.#logger = logger
    this.#logId = logId
    this.#claimText = `select verdict, at_ms, ${claimColumns} from ${database.rule('claim')}($1, $2, $3, $4, $5, $6, $7, $8)`
    this.#takeText = `select seq, ${claimColumns} from ${database.rule('take')}($1, $2, $3, $4, $5, $6, $7, $8, $9)`
  }

  async claim(
    tickets: readonly Ticket[],
    max: number,
    by: WorkerRef,
    request: RequestId,
    { perLane }: ClaimOptions = {},
  ): Promise<readonly Verdict[]> {
    // Each id once, and only valid ids: tickets may be copied, and forged.
    const ids = new Map<string, Lane>()
    for (const { id, lane, log } of tickets)
      if (log === this.#logId() && isUuid(id) && !ids.has(id.toLowerCase())) ids.set(id.toLowerCase(), lane)

    const rows = new Map<string, Row>()
    /** Jobs whose turn it was, granted by the tickets of others. */
    const turns: Claim[] = []
    let left = max
    const leftIn = perLane && { ...perLane }
    const queues = [...new Set(tickets.map(({ queue }) => queue))]
    for (const [nth, batch] of splitIntoBatches([...ids.keys()]).entries()) {
      const lanesOf = leftIn && batch.map((id) => ids.get(id) ?? 'normal')
      const found = await this.#despiteData({ ids: batch, queues, max: batch.length }, by, () =>
        this.#database.query('errand_claim', this.#claimText, [
          arrayLiteral(batch),
          Math.max(0, left),
          by.id,
          // Each batch knows what it was granted before, whichever jobs these are.
          nth === 0 ? request : `${request} ${nth}`,
          by.graceMs,
          toHostJson(by),
          lanesOf ? arrayLiteral(lanesOf.map((lane) => laneRank[lane])) : null,
          lanesOf ? arrayLiteral(lanesOf.map((lane) => leftIn[lane] ?? 0)) : null,
        ]),
      )
      const asked = new Set(batch)
      for (const row of found) {
        const id = row[claimAt]!
        const isRun = row[0] === 'run'
        if (isRun && !asked.has(id)) turns.push(toClaim(row, claimAt))
        else rows.set(id, row)
        if (isRun) left -= 1
        const lane = isRun || row[0] === 'turn' ? ids.get(id) : undefined
        if (leftIn && lane) leftIn[lane] = (leftIn[lane] ?? 0) - 1
      }
    }
    const full = new Set<QueueName>()
    for (const { id, queue } of tickets) if (rows.get(id.toLowerCase())?.[0] === 'full') full.add(queue)
    const given = new Set<string>()
    return tickets.map((ticket): Verdict => {
      if (ticket.log !== this.#logId()) return { ticket, verdict: 'drop', why: 'foreign' }
      const id = ticket.id.toLowerCase()
      const row = rows.get(id)
      if (!row) return { ticket, verdict: 'drop', why: 'unknown' }
      // A second copy of a ticket that was granted above.
      if ((row[0] === 'run' || row[0] === 'turn') && given.has(id))
        return { ticket, verdict: 'drop', why: 'busy' }
      given.add(id)
      return row[0] === 'turn' ? toTurn(ticket, turns, full) : toVerdict(ticket, row)
    })
  }

  async take(
    queues: readonly QueueName[],
    max: number,
    by: WorkerRef,
    request: RequestId,
    options: TakeOptions = {},
  ): Promise<readonly Claim[]> {
    const taking = this.prepareTake(queues, max, by, request, options)
    return taking.elsewhere(await this.#take(taking, max, by))
  }

  /** What a statement that takes needs, and how its answer is read. */
  prepareTake(
    queues: readonly QueueName[],
    max: number,
    by: WorkerRef,
    request: RequestId,
    options: TakeOptions = {},
  ): Taking {
    const asked = [...new Set(queues)]
    const from = options.overdue ? null : this.#marks.from(asked)
    return this.#prepare(asked, max, by, request, options, from)
  }

  #prepare(
    asked: readonly QueueName[],
    max: number,
    by: WorkerRef,
    request: RequestId,
    options: TakeOptions,
    from: readonly number[] | null,
  ): Taking {
    const overdue = options.overdue ?? false
    return {
      queues: asked,
      values: [
        arrayLiteral(asked) ?? '{}',
        max,
        by.id,
        request,
        by.graceMs,
        toHostJson(by),
        options.fromLowest ?? 0,
        overdue,
        from && arrayLiteral(from),
      ],
      read: ([search, ...rows], at) => {
        if (!search) return []
        const claims = rows.map((row) => toClaim(row, at + 1))
        // A repeated request has no search: its first row is a claim.
        if (search[at + 1] !== null) return [toClaim(search, at + 1), ...claims]
        const full = strings(search[at + 1 + tagsAt])
        if (full.length > 0) options.full?.(full)
        // Where jobs took turns, the first ones may still wait.
        if (!overdue && search[at] !== null) {
          const seen = claims.map(({ job: { queue, lane } }, index) => ({
            queue,
            lane,
            sequence: number(rows[index]?.[at]),
          }))
          this.#marks.note(asked, from === null, number(search[at]), seen)
        }
        return claims
      },
      elsewhere: async (claims) => {
        if (from === null || claims.length > 0 || !this.#marks.areCheap(asked)) return claims
        // A job that became ready again is before the marks.
        return this.#take(this.#prepare(asked, max, by, request, options, null), max, by)
      },
    }
  }

  async #take({ queues, values, read }: Taking, max: number, by: WorkerRef): Promise<readonly Claim[]> {
    const rows = await this.#despiteData({ ids: undefined, queues, max }, by, () =>
      this.#database.query('errand_take', this.#takeText, values),
    )
    return read(rows, 0)
  }

  /** A job with an unusable row fails with the reason, and the others are granted. */
  #despiteData(
    { ids, queues, max }: { ids: readonly string[] | undefined; queues: readonly QueueName[]; max: number },
    by: WorkerRef,
    ask: () => Promise<readonly Row[]>,
  ): Promise<readonly Row[]> {
    const parameters = [
      ids === undefined ? null : arrayLiteral(ids),
      arrayLiteral(queues) ?? '{}',
      max,
      by.id,
      by.graceMs,
    ]
    return despiteData(this.#database, this.#logger, { name: 'set_aside_unclaimable', parameters }, ask)
  }
}

/** The ticket's right was used for one of these jobs, or for the job of another ticket of the same call. */
function toTurn(ticket: Ticket, turns: Claim[], full: ReadonlySet<QueueName>): Verdict {
  const at = turns.findIndex(({ job }) => job.queue === ticket.queue && job.lane === ticket.lane)
  const [claim] = turns.splice(Math.max(0, at), 1)
  return claim
    ? { ticket, verdict: 'run', claim }
    : { ticket, verdict: full.has(ticket.queue) ? 'full' : 'again' }
}

function toVerdict(ticket: Ticket, row: Row): Verdict {
  const [column, at] = row
  const verdict = column ?? 'unknown'
  switch (verdict) {
    case 'run':
      return { ticket, verdict, claim: toClaim(row, claimAt) }
    case 'again':
    case 'full':
      return { ticket, verdict }
    case 'later':
      return { ticket, verdict, at: maybeNumber(at) ?? 0 }
    case 'busy':
    case 'finished':
    case 'blocked':
    case 'paused':
    case 'elsewhere':
      return { ticket, verdict: 'drop', why: verdict }
    default:
      return { ticket, verdict: 'drop', why: 'unknown' }
  }
}

function toHostJson(by: WorkerRef): string {
  return `{${jsonMembers({ host: by.host })}}`
}
