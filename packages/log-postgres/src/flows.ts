import type {
  CancelReport,
  Encoded,
  FlowFilter,
  FlowMember,
  FlowRecord,
  Flows,
  FlowState,
  FinalState,
  MemberEnd,
  NeedMode,
  NeedRecord,
  Note,
  Ticket,
} from '@errand/core/ports'
import { isFinal } from '@errand/core/ports'
import { needCode, stateCode, toStoredState } from './codes.ts'
import type { Column, Database, Row, Value } from './database.ts'
import { arrayLiteral, isUuid, jsonMembers } from './literals.ts'
import type { OneJob } from './one-job.ts'
import { lane, maybe, maybeNumber, number, parseMeta, parseObject, strings } from './rows.ts'

/** How long operators wait for a row. */
const rowWait = '10s'
const noReport: CancelReport = { cancelled: 0, requested: 0, workers: [], tickets: [] }

interface MemberPage {
  readonly limit: number
  readonly after?: number | undefined
}

/** Flows, and what jobs need. */
export class FlowCalls implements Flows {
  readonly #database: Database
  readonly #oneJob: OneJob
  readonly #logId: () => string

  constructor(database: Database, oneJob: OneJob, logId: () => string) {
    this.#database = database
    this.#oneJob = oneJob
    this.#logId = logId
  }

  async readFlow(id: string): Promise<FlowRecord | undefined> {
    if (!isUuid(id)) return undefined
    const [row] = await this.#oneJob.read((source) =>
      this.#database.query(
        `errand_flow${source.name}`,
        `select ${this.#columns} from ${source.selectRows('flows', '$1::uuid[]')} f`,
        [arrayLiteral([id])],
      ),
    )
    return row && toFlow(row)
  }

  async listFlows(
    { state, name }: FlowFilter,
    page: { readonly limit: number; readonly after?: string | undefined },
  ): Promise<readonly FlowRecord[]> {
    if (page.after !== undefined && !isUuid(page.after)) return []
    const s = this.#schema
    const values: Value[] = []
    const bind = (value: Value): string => `$${values.push(value)}`
    const which = ['true']
    if (state !== undefined) which.push(`f.state = ${stateCode[state]}`)
    if (name !== undefined) which.push(`f.name = ${bind(name)}`)
    if (page.after !== undefined)
      which.push(`f.seq < (select a.seq from ${s}.flows a where a.id = ${bind(page.after)}::uuid)`)
    const rows = await this.#database.readInOrder(
      `select ${this.#columns} from ${s}.flows f where ${which.join(' and ')} order by f.seq desc limit ${bind(page.limit)}`,
      values,
    )
    return rows.map(toFlow)
  }

  async flowMembers(flow: string, page: MemberPage): Promise<readonly FlowMember[]> {
    const rows = await this.#members(flow, page)
    return rows.flatMap((row): FlowMember[] => {
      if (row.state === undefined) return []
      const { index, id, isFlow, name } = row
      return [{ index, id, isFlow, name, state: toStoredState(row.state) }]
    })
  }

  async memberEnds(
    flow: string,
    page: MemberPage,
  ): Promise<{ readonly ends: readonly MemberEnd[]; readonly next: number | undefined }> {
    const members = await this.#members(flow, page)
    const ended = members.flatMap(({ index, id, isFlow, state }) => {
      const final = toStoredState(state)
      return !isFlow && isFinal(final) ? [{ index, id, state: final }] : []
    })
    const bodies = await this.#bodies(ended.map(({ id }) => id))
    return {
      ends: ended.map((end) => ({ ...end, body: bodies.get(end.id) })),
      next: members.length === page.limit ? members.at(-1)?.index : undefined,
    }
  }

  async needs(job: string): Promise<readonly NeedRecord[]> {
    if (!isUuid(job)) return []
    const rows = await this.#database.query(
      'errand_needs',
      `select n.parent, n.is_flow, n.mode, n.name, n.done, n.codec, n.body
         from ${this.#schema}.needs n where n.child = $1::uuid order by n.ord`,
      [job],
    )
    return rows.map(([on, isFlow, mode, name, done, codec, body]) => ({
      on: on!,
      isFlow: isFlow === 't',
      mode: toNeedMode(mode),
      name: maybe(name),
      state: toFinal(done),
      body: toBody(codec, body),
    }))
  }

  async neededBy(id: string, limit: number): Promise<readonly string[]> {
    if (!isUuid(id)) return []
    const s = this.#schema
    const rows = await this.#database.readInOrder(
      `select distinct n.child
         from ${s}.needs n
        where n.parent = $1::uuid
          and exists (select from ${s}.live l where l.id = n.child and l.state <> ${stateCode.failed})
        order by n.child limit $2`,
      [id, limit],
    )
    return rows.map(([child]) => child!)
  }

  async cancelFlow(id: string, { by, reason }: Note): ReturnType<Flows['cancelFlow']> {
    if (!isUuid(id)) return { ...noReport, status: 'unknown', more: false }
    const rows = await this.#database.query(
      'errand_cancel_flow',
      `select * from ${this.#database.rule('cancel_flow')}($1, $2, '${rowWait}')`,
      [id, jsonMembers({ by, reason })],
      { repeatable: false },
    )
    const of = (...kinds: string[]): Row[] => rows.filter(([kind]) => kinds.includes(kind ?? ''))
    const status = rows[0]?.[0]
    return {
      status: status === 'cancelling' || status === 'ended' ? status : 'unknown',
      cancelled: of('cancelled').length,
      requested: of('requested').length,
      workers: [...new Set(of('requested', 'asked').flatMap((row) => maybe(row[4]) ?? []))],
      tickets: of('ticket').map((row) => this.#ticket(row)),
      more: of('more').length > 0,
    }
  }

  async replayFlow(id: string, { by, reason }: Note): ReturnType<Flows['replayFlow']> {
    if (!isUuid(id)) return { status: 'unknown', replayed: 0, tickets: [] }
    const rows = await this.#database.query(
      'errand_replay_flow',
      `select * from ${this.#database.rule('replay_flow')}($1, $2, '${rowWait}')`,
      [id, `{${jsonMembers({ by, reason })}}`],
      { repeatable: false },
    )
    const status = rows[0]?.[0]
    return {
      status:
        status === 'replayed' || status === 'running' || status === 'callbacks-run' ? status : 'unknown',
      replayed: rows.filter(([kind]) => kind === 'member').length,
      tickets: rows.filter(([kind]) => kind === 'ticket').map((row) => this.#ticket(row)),
    }
  }

  /** Those that are gone have no state. */
  async #members(flow: string, { limit, after = 0 }: MemberPage): Promise<readonly MemberRow[]> {
    if (!isUuid(flow)) return []
    const s = this.#schema
    // A chunk may begin before the place that is asked for. Only the one before it can reach it.
    const rows = await this.#database.readInOrder(
      `with chunks as materialized (
         (select m.start, m.ids from ${s}.members m where m.flow = $1::uuid and m.start <= $2 order by m.start desc limit 1)
         union all
         (select m.start, m.ids from ${s}.members m where m.flow = $1::uuid and m.start > $2 order by m.start limit $3)),
       page as materialized (
         select c.start + u.nth - 1 as place, u.id
           from chunks c cross join lateral unnest(c.ids) with ordinality as u (id, nth)
          where c.start + u.nth - 1 > $2 order by 1 limit $3)
       select p.place, p.id, f.id is not null, coalesce(f.name, j.name), coalesce(f.state, l.state, x.state)
         from page p
         left join lateral (select * from ${s}.flows f where f.id = any (array[p.id]) offset 0) f on true
         left join lateral (select * from ${s}.live l where l.id = any (array[p.id]) offset 0) l on true
         left join lateral (select * from ${s}.ended x where x.id = any (array[p.id]) offset 0) x on true
         left join lateral (
           select * from ${s}.jobs j where j.seq = any (array[coalesce(l.seq, x.seq)]) offset 0) j on true
        order by p.place`,
      [flow, after, limit],
    )
    return rows.map(([place, id, isFlow, name, state]) => ({
      index: number(place),
      id: id!,
      isFlow: isFlow === 't',
      name: maybe(name),
      state: maybe(state),
    }))
  }

  async #bodies(ids: readonly string[]): Promise<ReadonlyMap<string, Encoded | undefined>> {
    if (ids.length === 0) return new Map()
    const rows = await this.#database.query(
      'errand_ends',
      `select id, codec, body from ${this.#database.rule('ends_of')}($1)`,
      [arrayLiteral(ids)],
    )
    return new Map(rows.map(([id, codec, body]) => [id!, toBody(codec, body)]))
  }

  get #schema(): string {
    return this.#database.schema
  }

  get #columns(): string {
    const ms = `${this.#schema}.ms`
    return (
      `f.id, f.name, f.flow, f.state, f.allowed, f.stops, f.cancel, ${ms}(f.dispatched_at), ${ms}(f.ended_at), f.tags, f.meta, ` +
      `f.total, f.succeeded, f.failed, f.cancelled, f.forgiven`
    )
  }

  #ticket(row: Row): Ticket {
    return { id: row[1]!, queue: row[2]!, lane: lane(row[3]), log: this.#logId() }
  }
}

interface MemberRow {
  readonly index: number
  readonly id: string
  readonly isFlow: boolean
  readonly name: string | undefined
  readonly state: string | undefined
}

function toFlow(row: Row): FlowRecord {
  const [id, name, flow, state, allowed, stops, cancel, dispatchedAt, endedAt, tags, meta] = row
  const [total, succeeded, failed, cancelled, forgiven] = row.slice(11).map(number)
  return {
    id: id!,
    name: maybe(name),
    flow: maybe(flow),
    state: toFlowState(state),
    allowFailures: maybeNumber(allowed) ?? null,
    stopOnFailure: stops === 't',
    cancel: toNote(cancel),
    dispatchedAt: number(dispatchedAt),
    endedAt: maybeNumber(endedAt),
    tags: strings(tags),
    meta: parseMeta(meta),
    total: total ?? 0,
    succeeded: succeeded ?? 0,
    failed: failed ?? 0,
    cancelled: cancelled ?? 0,
    forgiven: forgiven ?? 0,
  }
}

function toFlowState(column: Column | undefined): FlowState {
  return toFinal(column) ?? 'running'
}

function toFinal(column: Column | undefined): FinalState | undefined {
  const state = toStoredState(column)
  return isFinal(state) ? state : undefined
}

/** From the members of a JSON object. */
function toNote(column: Column | undefined): Note | undefined {
  if (column == null) return undefined
  const { by, reason } = parseObject(`{${column}}`)
  return {
    by: typeof by === 'string' ? by : '',
    ...(typeof reason === 'string' ? { reason } : {}),
  }
}

const modes = new Map(Object.entries(needCode).map(([mode, code]) => [code, mode as NeedMode]))

function toNeedMode(column: Column | undefined): NeedMode {
  return modes.get(number(column)) ?? 'ended'
}

function toBody(codec: Column | undefined, text: Column | undefined): Encoded | undefined {
  return typeof codec === 'string' && typeof text === 'string' ? { codec, text } : undefined
}
