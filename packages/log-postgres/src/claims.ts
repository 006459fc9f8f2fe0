import type {
  Claim,
  Logger,
  QueueName,
  RequestId,
  TakeOptions,
  Ticket,
  Verdict,
  WorkerRef,
} from '@errand/core/ports'
import { splitIntoBatches } from './batches.ts'
import type { Database, Row } from './database.ts'
import { arrayLiteral, isUuid, jsonMembers } from './literals.ts'
import { despiteData } from './set-aside.ts'
import { claimColumns, maybeNumber, number, toClaim } from './rows.ts'
import { TakeMarks } from './take-marks.ts'

const claimAt = 2
const takeAt = 1

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
    this.#claimText = `select verdict, at_ms, ${claimColumns} from ${database.rule('claim')}($1, $2, $3, $4, $5, $6)`
    this.#takeText = `select seq, ${claimColumns} from ${database.rule('take')}($1, $2, $3, $4, $5, $6, $7, $8, $9)`
  }

  async claim(
    tickets: readonly Ticket[],
    max: number,
    by: WorkerRef,
    request: RequestId,
  ): Promise<readonly Verdict[]> {
    // Each id once, and only valid ids: tickets may be copied, and forged.
    const ids = new Set<string>()
    for (const ticket of tickets)
      if (ticket.log === this.#logId() && isUuid(ticket.id)) ids.add(ticket.id.toLowerCase())

    const rows = new Map<string, Row>()
    let left = max
    for (const batch of splitIntoBatches([...ids])) {
      const found = await this.#despiteData({ ids: batch, queues: [], max: batch.length }, by, () =>
        this.#database.query('errand_claim', this.#claimText, [
          arrayLiteral(batch),
          Math.max(0, left),
          by.id,
          request,
          by.graceMs,
          toHostJson(by),
        ]),
      )
      for (const row of found) {
        if (row[0] === 'run') left -= 1
        rows.set(row[claimAt]!, row)
      }
    }
    const given = new Set<string>()
    return tickets.map((ticket): Verdict => {
      if (ticket.log !== this.#logId()) return { ticket, verdict: 'drop', why: 'foreign' }
      const id = ticket.id.toLowerCase()
      const row = rows.get(id)
      if (!row) return { ticket, verdict: 'drop', why: 'unknown' }
      // A second copy of a ticket that was granted above.
      if (row[0] === 'run' && given.has(id)) return { ticket, verdict: 'drop', why: 'busy' }
      given.add(id)
      return toVerdict(ticket, row)
    })
  }

  async take(
    queues: readonly QueueName[],
    max: number,
    by: WorkerRef,
    request: RequestId,
    options: TakeOptions = {},
  ): Promise<readonly Claim[]> {
    const asked = [...new Set(queues)]
    const from = options.overdue ? null : this.#marks.from(asked)
    const claims = await this.#take(asked, max, by, request, options, from)
    if (from === null || claims.length > 0 || !this.#marks.areCheap(asked)) return claims
    // A job that became ready again is before the marks.
    return this.#take(asked, max, by, request, options, null)
  }

  async #take(
    asked: readonly QueueName[],
    max: number,
    by: WorkerRef,
    request: RequestId,
    options: TakeOptions,
    from: readonly number[] | null,
  ): Promise<readonly Claim[]> {
    const overdue = options.overdue ?? false
    const [search, ...rows] = await this.#despiteData({ ids: undefined, queues: asked, max }, by, () =>
      this.#database.query('errand_take', this.#takeText, [
        arrayLiteral(asked) ?? '{}',
        max,
        by.id,
        request,
        by.graceMs,
        toHostJson(by),
        options.fromLowest ?? 0,
        overdue,
        from && arrayLiteral(from),
      ]),
    )
    if (!search) return []
    const claims = rows.map((row) => toClaim(row, takeAt))
    // A repeated request has no search: its first row is a claim.
    if (search[takeAt] !== null) return [toClaim(search, takeAt), ...claims]
    if (!overdue) {
      const seen = claims.map(({ job: { queue, lane } }, index) => ({
        queue,
        lane,
        sequence: number(rows[index]?.[0]),
      }))
      this.#marks.note(asked, from === null, number(search[0]), seen)
    }
    return claims
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

function toVerdict(ticket: Ticket, row: Row): Verdict {
  const [column, at] = row
  const verdict = column ?? 'unknown'
  switch (verdict) {
    case 'run':
      return { ticket, verdict, claim: toClaim(row, claimAt) }
    case 'again':
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
