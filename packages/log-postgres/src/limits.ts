import { mostAtLimitCounted } from '@errand/core/ports'
import type {
  Closing,
  LimitChange,
  LimitCounts,
  LimitKeyRecord,
  LimitKeysWanted,
  LimitRecord,
  LimitsSaved,
  LimitTarget,
  Note,
  Rate,
  Ticket,
} from '@errand/core/ports'
import type { Database, Row } from './database.ts'
import { arrayLiteral, isUuid } from './literals.ts'
import { lane, maybe, maybeNumber, number } from './rows.ts'

/** How long it waits for the row of a limit. Whoever holds it does so for one statement. */
const rowWait = '5s'

/** The limits of the port. */
export class Limits {
  readonly #database: Database
  readonly #logId: () => string

  constructor(database: Database, logId: () => string) {
    this.#database = database
    this.#logId = logId
  }

  async read(names: readonly string[] | undefined): Promise<{ now: number; limits: readonly LimitRecord[] }> {
    const s = this.#database.schema
    const [[now] = [], ...rows] = await this.#database.query(
      'errand_limits',
      `select ${s}.ms(${s}.clock())::text, ${nulls(15)}
       union all
       (select m.name, m.revision, m.declared, m.total, m.per_key, m.rate_ms, m.burst, m.key_rate_ms, m.key_burst, m.body,
               ${counts(s, 'm.name', undefined)}, ${closing(s, 'm')}
          from ${s}.limits m where $1::text[] is null or m.name = any ($1::text[]) order by m.name collate "C")`,
      [names === undefined ? null : (arrayLiteral(names) ?? '{}')],
    )
    return { now: number(now), limits: rows.map(toLimit) }
  }

  async readKeys(
    name: string,
    { key, closed = false, limit }: LimitKeysWanted,
  ): Promise<readonly LimitKeyRecord[]> {
    const s = this.#database.schema
    const rows = await this.#database.query(
      'errand_limit_keys',
      `select k.key, ${counts(s, 'k.name', 'k.key')}, ${closing(s, 'k')}
         from ${s}.limit_keys k where k.name = $1 and ($2::text is null or k.key = $2)
          and (not $4::boolean or k.closed_until > ${s}.clock())
        order by not k.waits, k.turn limit $3`,
      [name, key ?? null, limit, closed],
    )
    return rows.map(([each, ...others]) => ({ key: each!, ...toCounts(others) }))
  }

  async save(changes: readonly LimitChange[]): Promise<LimitsSaved> {
    const of = (pick: (change: LimitChange) => string | number | undefined): string | null =>
      arrayLiteral(changes.map(pick))
    const rows = await this.#database.query(
      'errand_save_limits',
      `select * from ${this.#database.rule('save_limits')}($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
      [
        of(({ name }) => name),
        of(({ after }) => after),
        of(({ to }) => to?.values?.total),
        of(({ to }) => to?.values?.perKey),
        of(({ to }) => to?.values?.rate?.everyMs),
        of(({ to }) => to?.values?.rate?.burst),
        of(({ to }) => to?.values?.keyRate?.everyMs),
        of(({ to }) => to?.values?.keyRate?.burst),
        of(({ to }) => to?.body),
      ],
      { repeatable: false },
    )
    const saved = new Set(rows.flatMap(([kind, name]) => (kind === 'saved' ? [name] : [])))
    return {
      saved: changes.map(({ name, after, to }) => saved.has(name) || (after === 0 && to === undefined)),
      tickets: rows.flatMap(([kind, , ...row]) => (kind === 'ticket' ? [this.#ticket(row)] : [])),
    }
  }

  async close(
    target: LimitTarget,
    forMs: number,
    note: Note,
  ): Promise<{ readonly found: boolean; readonly tickets: readonly Ticket[] }> {
    const { name, key, job } = { name: undefined, key: undefined, job: undefined, ...target }
    if (job !== undefined && !isUuid(job)) return { found: false, tickets: [] }
    const rows = await this.#database.query(
      'errand_close_limit',
      `select * from ${this.#database.rule('close_limit')}($1, $2, $3, $4, $5, $6, '${rowWait}')`,
      [name ?? null, key ?? null, job ?? null, Math.round(forMs), note.by, note.reason ?? null],
    )
    return {
      found: rows.length > 0,
      tickets: rows.flatMap(([kind, ...row]) => (kind === 'ticket' ? [this.#ticket(row)] : [])),
    }
  }

  #ticket([id, queue, rank]: Row): Ticket {
    return { id: id!, queue: queue!, lane: lane(rank), log: this.#logId() }
  }
}

const nulls = (count: number): string => Array.from({ length: count }, () => 'null').join(', ')

/** Ready, running and waiting jobs. */
function counts(schema: string, name: string, key: string | undefined): string {
  const of = `l.lim = ${name} ${key === undefined ? '' : `and l.lim_key = ${key}`}`
  const held = (state: number): string =>
    `(select count(*) from ${schema}.live l where ${of} and l.held is null and l.state = ${state})`
  return `${held(3)}, ${held(4)},
    (select count(*) from (select from ${schema}.live l where ${of} and l.at_limit limit ${mostAtLimitCounted}) l)`
}

const closing = (schema: string, row: string): string =>
  `case when ${row}.closed_until > ${schema}.clock() then ${schema}.ms(${row}.closed_until) end,
   ${row}.closed_by, ${row}.closed_reason`

function toLimit(row: Row): LimitRecord {
  const [name, revision, declared, total, perKey, rateMs, burst, keyRateMs, keyBurst, body, ...others] = row
  return {
    name: name!,
    revision: number(revision),
    values:
      declared === 't'
        ? {
            total: maybeNumber(total),
            perKey: maybeNumber(perKey),
            rate: toRate(rateMs, burst),
            keyRate: toRate(keyRateMs, keyBurst),
          }
        : undefined,
    body: body!,
    ...toCounts(others),
  }
}

function toRate(everyMs: Row[number] | undefined, burst: Row[number] | undefined): Rate | undefined {
  return everyMs == null ? undefined : { everyMs: number(everyMs), burst: number(burst) }
}

function toCounts([ready, running, waiting, until, by, reason]: Row): LimitCounts {
  return {
    ready: number(ready),
    running: number(running),
    waiting: number(waiting),
    closed: toClosing(until, by, reason),
  }
}

function toClosing(
  until: Row[number] | undefined,
  by: Row[number] | undefined,
  reason: Row[number] | undefined,
): Closing | undefined {
  return until == null ? undefined : { until: number(until), by: by ?? '', reason: maybe(reason ?? null) }
}
