import { ErrandError } from '@errand/core/ports'
import type { Cursor, EventRecord, ReadOptions } from '@errand/core/ports'
import { cursorOf, positionOf } from './cursors.ts'
import type { Position } from './cursors.ts'
import type { Database, Row } from './database.ts'
import { isUuid } from './literals.ts'
import type { OneJob } from './one-job.ts'
import { eventColumns, eventOf } from './rows.ts'

/** How many events one read looks at for those that a filter asks for. */
const filteredLook = 10_000

/** The log's events, in the order in which they can be read: of one job, and after a cursor. */
export class Events {
  readonly #database: Database
  readonly #oneJob: OneJob

  constructor(database: Database, oneJob: OneJob) {
    this.#database = database
    this.#oneJob = oneJob
  }

  async eventsOf(id: string): Promise<readonly EventRecord[]> {
    if (!isUuid(id)) return []
    const { schema } = this.#database
    const rows = await this.#oneJob.read((source) =>
      this.#database.query(
        `errand_events_of${source.name}`,
        `select m.epoch, ${eventColumns(schema)}
           from ${source.rows('job_events', '$1')} e cross join ${schema}.meta m
          where e.job_id = $1
          order by e.version`,
        [id],
      ),
    )
    return rows.map(([epoch, ...row]) => eventOf(row, cursorOf(placeOf(Number(epoch), row, undefined))))
  }

  /**
   * Only what is older than every open transaction: behind a position that was handed out nothing can appear any more.
   * The lag is the longest open write transaction of the cluster. The events of one job wait for nobody: each is written
   * by a transaction that has seen the one before it, and has a later number.
   */
  async read(
    options: ReadOptions,
  ): Promise<{ readonly events: readonly EventRecord[]; readonly next: Cursor }> {
    const after = options.after === undefined ? undefined : positionOf(options.after)
    if (options.job !== undefined && !isUuid(options.job))
      return { events: [], next: options.after ?? (await this.end()) }
    const filtered = options.queue !== undefined || options.tag !== undefined
    const values = [
      after ? String(after.tx) : null,
      after ? String(after.seq) : null,
      after?.seen ?? null,
      filtered ? Math.max(filteredLook, options.limit) : options.limit,
      options.limit,
      options.queue ?? null,
      options.tag ?? null,
    ]
    const { job } = options
    const [facts, ...rows] =
      job === undefined
        ? await this.#database.query('errand_read', this.#readText(undefined), values)
        : await this.#oneJob.read((source) =>
            this.#database.query(
              `errand_read_job${source.name}`,
              this.#readText(source.rows('job_events', '$8::uuid')),
              [...values, job],
            ),
          )
    const [epoch, droppedTx, droppedSeq, ahead] = facts ?? []
    if (after) check(after, Number(epoch), BigInt(droppedTx ?? 0), BigInt(droppedSeq ?? 0), ahead === 'true')

    const at = (row: Row): Position => placeOf(Number(epoch), row.slice(1), after?.seen)
    const events = rows
      .filter((row) => row[0] === 'true')
      .map((row) => eventOf(row.slice(1), cursorOf(at(row))))
    // A full page goes on after its last event; another one has looked up to its last row.
    const last = events.length === options.limit ? rows.findLast((row) => row[0] === 'true') : rows.at(-1)
    const start: Position = after ?? {
      epoch: Number(epoch),
      tx: BigInt(droppedTx ?? 0),
      seq: BigInt(droppedSeq ?? 0),
      seen: undefined,
    }
    return { events, next: cursorOf(last ? at(last) : start) }
  }

  async end(): Promise<Cursor> {
    const [row] = await this.#database.query(
      'errand_end',
      `select m.epoch, pg_current_snapshot() from ${this.#database.schema}.meta m`,
    )
    const seen = row?.[1] ?? '0:0:'
    return cursorOf({ epoch: Number(row?.[0]), tx: BigInt(seen.split(':')[0] ?? 0), seq: 0n, seen })
  }

  /** First a row of facts, then one per event: whether it is asked for, and the event; the last one looked at in any case. */
  #readText(ofJob: string | undefined): string {
    const { schema } = this.#database
    return `
      with facts as materialized (
        select m.epoch, m.dropped_tx, m.dropped_seq, pg_snapshot_xmin(pg_current_snapshot()) as oldest,
               $1::xid8 > pg_snapshot_xmax(pg_current_snapshot()) as ahead
          from ${schema}.meta m),
      page as materialized (
        select e.*, row_number() over (order by e.tx, e.seq) as nth
          from (select * from ${ofJob ?? `${schema}.job_events`} e
                 where (e.tx, e.seq) > (coalesce($1::xid8, (select dropped_tx from facts)),
                                          coalesce($2::bigint, (select dropped_seq from facts)))
                   ${ofJob === undefined ? 'and e.tx < (select oldest from facts)' : ''}
                   and ($3::pg_snapshot is null or not pg_visible_in_snapshot(e.tx, $3::pg_snapshot))
                   ${ofJob !== undefined ? 'and e.job_id = $8::uuid' : ''}
                 order by e.tx, e.seq limit $4) e),
      fit as (
        select p.*, true as fits from page p
         where ($6::text is null or p.queue = $6) and ($7::text is null or $7 = any (p.tags))
         order by p.nth limit $5),
      listed as (
        select * from fit
        union all
        select * from (select p.*, false from page p order by p.nth desc limit 1) last
         where not exists (select from fit where fit.nth = last.nth))
      select f.epoch::text, f.dropped_tx::text, f.dropped_seq::text, f.ahead::text, ${filler} from facts f
      union all
      select * from (select e.fits::text, ${eventColumns(schema)
        .split(', ')
        .map((column) => `(${column})::text`)
        .join(', ')} from listed e order by e.nth) e`
  }
}

const filler = Array.from({ length: 14 }, () => 'null::text').join(', ')

function placeOf(epoch: number, row: Row, seen: string | undefined): Position {
  return { epoch, tx: BigInt(row[0]!), seq: BigInt(row[1]!), seen }
}

function check(at: Position, epoch: number, droppedTx: bigint, droppedSeq: bigint, ahead: boolean): void {
  if (at.epoch !== epoch)
    throw new ErrandError(
      'E_CURSOR',
      `the cursor is of epoch ${at.epoch}, the log is in epoch ${epoch} since it was restored: start anew`,
    )
  if (at.tx < droppedTx || (at.tx === droppedTx && at.seq < droppedSeq))
    throw new ErrandError('E_CURSOR', 'events after this cursor are no longer kept: start anew')
  if (ahead) throw new ErrandError('E_CURSOR', 'this cursor is ahead of the log; it belongs to another one')
}
