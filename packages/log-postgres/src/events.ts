import { batcher, ErrandError } from '@errand/core/ports'
import type { Batcher, Cursor, EventRecord, ReadOptions } from '@errand/core/ports'
import { parsePosition, toCursor } from './cursors.ts'
import type { Position } from './cursors.ts'
import type { Column, Database, Row } from './database.ts'
import { arrayLiteral, isUuid } from './literals.ts'
import type { Cell } from './literals.ts'
import { eventColumns, toEvent } from './rows.ts'

interface Page {
  readonly events: readonly EventRecord[]
  readonly next: Cursor
}

interface ReadOfJob {
  readonly job: string
  readonly after: Position | undefined
  readonly limit: number
}

/** Jobs whose events are read at a time. */
const mostTogether = 50

/** How many events one read looks at for those that a filter asks for. */
const filteredLook = 10_000

/** The log's events, in the order in which they can be read: of one job, and after a cursor. */
export class Events {
  readonly #database: Database
  /** Followers of single jobs learn of one batch of outcomes at the same moment. */
  readonly #ofJobs: Batcher<ReadOfJob, Page>

  constructor(database: Database) {
    this.#database = database
    this.#ofJobs = batcher({ run: (reads) => this.#readOfJobs(reads), maxItems: mostTogether })
  }

  async readHistory(id: string): Promise<readonly EventRecord[]> {
    if (!isUuid(id)) return []
    const { schema } = this.#database
    const ask = (): Promise<readonly Row[]> =>
      this.#database.query(
        'errand_events_of',
        `select m.epoch, ${standing(schema)}, ${eventColumns(schema)}
           from ${this.#selectEvents('array[$1::uuid]')} e cross join ${schema}.meta m
          order by e.version`,
        [id],
      )
    const rows = await this.#noted(ask, (answer) => answer[0]?.[2])
    return rows.map((row) => toEvent(row, 3, cursorAt(Number(row[0]), row, 3, row[1] ?? '0', undefined)))
  }

  /**
   * Only what is older than every open transaction: behind a position that was handed out nothing can appear any more.
   * The lag is the longest open write transaction of the cluster. The events of one job wait for nobody: each is written
   * by a transaction that has seen the one before it, and has a later number.
   */
  async read(options: ReadOptions): Promise<Page> {
    const after = options.after === undefined ? undefined : parsePosition(options.after)
    const { job, queue, tag, limit } = options
    if (job !== undefined && !isUuid(job)) return { events: [], next: options.after ?? (await this.end()) }
    const filtered = queue !== undefined || tag !== undefined
    if (job !== undefined && !filtered) return this.#ofJobs.add({ job, after, limit })
    const values = [
      after ? String(after.tx) : null,
      after ? String(after.seq) : null,
      after?.place ?? null,
      after?.seen ?? null,
      filtered ? Math.max(filteredLook, limit) : limit,
      limit,
      queue ?? null,
      tag ?? null,
    ]
    const ask = (): Promise<readonly Row[]> =>
      job === undefined
        ? this.#database.query('errand_read', this.#readText(undefined), values)
        : this.#database.query(
            'errand_read_filtered',
            this.#readText(this.#selectEvents('array[$9::uuid]')),
            [...values, job],
          )
    const rows = await this.#noted(ask, (answer) => answer[0]?.[5])
    return this.#toPage(rows, after, limit)
  }

  /** @param rows first the row of facts, then one per event: whether the filter matches, and the event */
  async #toPage([facts, ...rows]: readonly Row[], after: Position | undefined, limit: number): Promise<Page> {
    const [epochText, droppedTx, droppedSeq, ahead, writtenText] = facts ?? []
    const epoch = Number(epochText)
    const written = BigInt(writtenText ?? 0)
    if (after) {
      await this.#checkEpoch(after, epoch)
      check(after, BigInt(droppedTx ?? 0), BigInt(droppedSeq ?? 0), ahead === 'true')
    }

    const seen = after?.seen
    const at = (row: Row): Cursor => cursorAt(epoch, row, 1, writtenText ?? '0', seen)
    const events: EventRecord[] = []
    for (const row of rows) if (row[0] === 'true') events.push(toEvent(row, 1, at(row)))
    // After a full page, reading goes on after its last event. Another page has looked up to its last row.
    const last = events.length === limit ? rows.findLast((row) => row[0] === 'true') : rows.at(-1)
    const first = {
      tx: BigInt(droppedTx ?? 0),
      seq: BigInt(droppedSeq ?? 0),
      place: undefined,
      seen: undefined,
    }
    // If nothing more was read, the cursor need not cover more than before.
    const start: Position = after?.epoch === epoch ? after : { ...(after ?? first), epoch, written }
    return { events, next: last ? at(last) : toCursor(start) }
  }

  /** One statement for all followers of single jobs. A refused cursor fails only its own read. */
  async #readOfJobs(reads: readonly ReadOfJob[]): Promise<readonly Promise<Page>[]> {
    const column = (of: (read: ReadOfJob) => Cell): string | null =>
      arrayLiteral(reads.map((read) => of(read)))
    const values = [
      column(({ job }) => job),
      column(({ after }) => after && String(after.tx)),
      column(({ after }) => after && String(after.seq)),
      column(({ after }) => after?.place),
      column(({ after }) => after?.seen),
      column(({ limit }) => limit),
    ]
    const rows = await this.#noted(
      () => this.#database.query('errand_read_job', this.#readOfJobsText(), values),
      (answer) => answer[0]?.[6],
    )
    const ofEach = reads.map((): Row[] => [])
    for (const [nth, ...row] of rows) ofEach[Number(nth) - 1]?.push(row)
    return reads.map(async ({ after, limit }, index) => this.#toPage(ofEach[index] ?? [], after, limit))
  }

  async end(): Promise<Cursor> {
    const { schema } = this.#database
    const [row] = await this.#noted(
      () =>
        this.#database.query(
          'errand_end',
          `select m.epoch, ${standing(schema)}, pg_current_snapshot(), e.tx, e.seq
             from ${schema}.meta m
             left join ${this.#database.rule('newest')}() e on true`,
        ),
      (answer) => answer[0]?.[2],
    )
    const [epoch, written, , snapshot, tx, seq] = row ?? []
    const seen = snapshot ?? '0:0:'
    const oldest = BigInt(seen.split(':')[0] ?? 0)
    const at = { epoch: Number(epoch), written: BigInt(written ?? 0) }
    // The newest event is a place that stands: numbers behind it may be given again after a crash, to transactions of more.
    if (tx != null && BigInt(tx) < oldest)
      return toCursor({ ...at, tx: BigInt(tx), seq: BigInt(seq ?? 0), place: undefined, seen: undefined })
    return toCursor({ ...at, tx: oldest, seq: 0n, place: undefined, seen })
  }

  /** The log must note a new timeline before anything is read of it: the cursors of readers name what came before. */
  async #noted(
    ask: () => Promise<readonly Row[]>,
    isNews: (answer: readonly Row[]) => Column | undefined,
  ): Promise<readonly Row[]> {
    const answer = await ask()
    const news = isNews(answer)
    if (news !== 't' && news !== 'true') return answer
    await this.#database.query('errand_note_timeline', `select ${this.#database.rule('note_timeline')}()`)
    return ask()
  }

  /** A cursor of an older epoch is valid if all that its reader can have seen is common to the epochs since. */
  async #checkEpoch(at: Position, epoch: number): Promise<void> {
    if (at.epoch === epoch) return
    const { schema } = this.#database
    const [row] = await this.#database.query(
      'errand_common',
      `select count(*) filter (where $1::numeric <= common_written or $2::xid8 < common_tx)
         from ${schema}.epochs where epoch > $3 and epoch <= $4`,
      [String(at.written), String(at.tx), at.epoch, epoch],
    )
    // A snapshot names transactions that were open; their numbers may be given again.
    if (at.epoch < epoch && at.seen === undefined && Number(row?.[0]) === epoch - at.epoch) return
    throw new ErrandError(
      'E_CURSOR',
      `the cursor is of epoch ${at.epoch}, the log is in epoch ${epoch}: a failover or a restore has lost events that may have been read before this cursor; start over`,
    )
  }

  /** @param ids SQL of an array */
  #selectEvents(ids: string): string {
    return `${this.#database.rule('events_of')}(${ids}, null)`
  }

  /** For each read its facts, and then its events; before each row, which read it is of. */
  #readOfJobsText(): string {
    const { schema } = this.#database
    return `
      with facts as materialized (
        select m.epoch, m.dropped_tx, m.dropped_seq, pg_snapshot_xmax(pg_current_snapshot()) as newest, ${standing(schema)}
          from ${schema}.meta m),
      asked as materialized (
        select * from unnest($1::uuid[], coalesce($2::xid8[], '{}'), coalesce($3::bigint[], '{}'),
                             coalesce($4::integer[], '{}'), coalesce($5::pg_snapshot[], '{}'), $6::integer[]) with ordinality
          as u (id, tx, seq, place, seen, most, nth))
      select * from (
        select u.nth::text, f.epoch::text, f.dropped_tx::text, f.dropped_seq::text, (u.tx > f.newest)::text, f.written::text,
               f.news::text, ${filler}
          from asked u cross join facts f order by u.nth) f
      union all
      select * from (
        select u.nth::text, 'true', ${textColumns(schema)}
          from asked u cross join facts f cross join lateral (
            select e.*, row_number() over (order by e.tx, e.seq, e.place) as row from ${this.#selectEvents('array[u.id]')} e
             where ((e.tx, e.seq) > (coalesce(u.tx, f.dropped_tx), coalesce(u.seq, f.dropped_seq))
                    or ((e.tx, e.seq) = (u.tx, u.seq) and e.place > u.place))
               and (u.seen is null or not pg_visible_in_snapshot(e.tx, u.seen))
             order by e.tx, e.seq, e.place limit u.most) e
         order by u.nth, e.row) e`
  }

  /** First a row of facts, then one per event: whether it is asked for, and the event; the last one looked at in any case. */
  #readText(ofJob: string | undefined): string {
    const { schema } = this.#database
    return `
      with facts as materialized (
        select m.epoch, m.dropped_tx, m.dropped_seq, pg_snapshot_xmin(pg_current_snapshot()) as oldest,
               $1::xid8 > pg_snapshot_xmax(pg_current_snapshot()) as ahead, ${standing(schema)}
          from ${schema}.meta m),
      page as materialized (
        select e.*, row_number() over (order by e.tx, e.seq, e.place) as nth
          from (select * from ${ofJob ?? `${schema}.job_events`} e
                 where (e.tx, e.seq) >= (coalesce($1::xid8, (select dropped_tx from facts)),
                                           coalesce($2::bigint, (select dropped_seq from facts)))
                   and ((e.tx, e.seq) > (coalesce($1::xid8, (select dropped_tx from facts)),
                                           coalesce($2::bigint, (select dropped_seq from facts)))
                        or e.place > $3::integer)
                   ${ofJob === undefined ? 'and e.tx < (select oldest from facts)' : ''}
                   and ($4::pg_snapshot is null or not pg_visible_in_snapshot(e.tx, $4::pg_snapshot))
                 order by e.tx, e.seq, e.place limit $5) e),
      fit as (
        select p.*, true as fits from page p
         where ($7::text is null or p.queue = $7) and ($8::text is null or $8 = any (p.tags))
         order by p.nth limit $6),
      listed as (
        select * from fit
        union all
        select * from (select p.*, false from page p order by p.nth desc limit 1) last
         where not exists (select from fit where fit.nth = last.nth))
      select f.epoch::text, f.dropped_tx::text, f.dropped_seq::text, f.ahead::text, f.written::text, f.news::text, ${filler}
        from facts f
      union all
      select * from (select e.fits::text, ${textColumns(schema)} from listed e order by e.nth) e`
  }
}

const filler = Array.from({ length: 13 }, () => 'null::text').join(', ')

const textColumns = (schema: string): string =>
  eventColumns(schema)
    .split(', ')
    .map((column) => `(${column})::text`)
    .join(', ')

/** How much the server has written, and whether it does so on a timeline that the log has not noted yet. */
const standing = (schema: string): string =>
  `${schema}.written() as written, coalesce(m.timeline <> ${schema}.timeline(), false) as news`

/** @param at where the columns of the event begin */
function cursorAt(epoch: number, row: Row, at: number, written: string, seen: string | undefined): Cursor {
  return toCursor({ epoch, tx: row[at]!, seq: row[at + 1]!, place: row[at + 2]!, written, seen })
}

function check(at: Position, droppedTx: bigint, droppedSeq: bigint, ahead: boolean): void {
  if (at.tx < droppedTx || (at.tx === droppedTx && at.seq < droppedSeq))
    throw new ErrandError('E_CURSOR', 'events after this cursor are no longer kept: start over')
  if (ahead) throw new ErrandError('E_CURSOR', 'this cursor is ahead of the log; it belongs to another one')
}
