import { ErrandError, laneRank, mostWaitingCounted } from '@errand/core/ports'
import type {
  Backlog,
  CancelReport,
  JobChange,
  JobState,
  Logger,
  NewTransfer,
  Note,
  PruneOptions,
  QueueKey,
  QueueLimit,
  QueueRecord,
  ReplayReport,
  Ticket,
  Transfer,
  WorkerRecord,
} from '@errand/core/ports'
import { halving, splitIntoBatches } from './batches.ts'
import { isRefusedData } from './failures.ts'
import { eventCode, stateCode, toState } from './codes.ts'
import type { Column, Database, Row, Value } from './database.ts'
import { arrayLiteral, isStorable, isUuid, jsonMembers } from './literals.ts'
import { heldQueues, openLanes, someReady } from './live-index.ts'
import { lane, maybe, number, strings, toTransfer } from './rows.ts'
import { setAsideHeirs } from './set-aside.ts'
import type { Sweeps } from './sweeps.ts'

/** How long operators wait for a row. */
const rowWait = '10s'
const changedGraceMs = 30_000
const expeditedAtOnce = 5_000
/** Jobs of a queue in one state are counted up to a bound. What is more is estimated from so many pages of the table. */
const mostExact = 10_000
/** The bound is lower where there are many queues, so that the number of all counted rows is limited too. */
const countedInAll = 20_000
const fewestExact = 100
const pagesSampled = 600
/** Jobs that a line of the log names. */
const mostNamed = 10
const waitingStates = ['ready', 'scheduled', 'blocked', 'suspended'] as const

interface Pruned {
  readonly jobs: number
  readonly more: boolean
}

/** The operators' calls about jobs, queues and workers. */
export class Operations {
  readonly #database: Database
  readonly #logger: Logger
  readonly #logId: () => string
  readonly #sweeps: Sweeps

  constructor(database: Database, logger: Logger, logId: () => string, sweeps: Sweeps) {
    this.#database = database
    this.#logger = logger
    this.#logId = logId
    this.#sweeps = sweeps
  }

  async cancel(ids: readonly string[], note: Note): Promise<CancelReport> {
    const rows = await this.#each(
      ids,
      `select * from ${this.#database.rule('cancel')}($1, $2, '${rowWait}')`,
      [toMembers(note)],
    )
    const of = (...kinds: string[]): Row[] => rows.filter((row) => kinds.includes(row[0] ?? ''))
    return {
      cancelled: of('cancelled').length,
      requested: of('requested').length,
      workers: [...new Set(of('requested', 'asked').flatMap((row) => maybe(row[4]) ?? []))],
      tickets: of('ticket').map((row) => this.#ticket(row)),
    }
  }

  async replay(
    ids: readonly string[],
    note: Note,
    { forget = false }: { readonly forget?: boolean | undefined } = {},
  ): Promise<ReplayReport> {
    const rows = await this.#each(
      ids,
      `select * from ${this.#database.rule('replay')}($1, $2, ${forget}, '${rowWait}')`,
      [toData(note)],
    )
    return {
      replayed: rows.filter(([kind]) => kind === 'replayed' || kind === 'ticket').length,
      duplicates: rows.filter(([kind]) => kind === 'duplicate').map((row) => row[1]!),
      unmet: rows.filter(([kind]) => kind === 'unmet').map((row) => row[1]!),
      tickets: rows.filter(([kind]) => kind === 'ticket' || kind === 'next').map((row) => this.#ticket(row)),
    }
  }

  async skip(
    ids: readonly string[],
    note: Note,
  ): Promise<{ readonly skipped: number; readonly tickets: readonly Ticket[] }> {
    const rows = await this.#each(ids, `select * from ${this.#database.rule('skip')}($1, $2, '${rowWait}')`, [
      toData(note),
    ])
    return {
      skipped: rows.filter(([kind]) => kind === 'skipped').length,
      tickets: rows.filter(([kind]) => kind === 'ticket').map((row) => this.#ticket(row)),
    }
  }

  async change(
    id: string,
    to: JobChange,
    note: Note,
  ): Promise<{ readonly state: JobState; readonly ticket: Ticket | undefined }> {
    if (!isUuid(id)) throw notFound(id)
    if (to.payload && !isStorable(to.payload.text))
      throw new ErrandError(
        'E_PAYLOAD_NOT_SERIALIZABLE',
        'the payload holds a NUL or half of a surrogate pair',
      )
    const changed = (['lane', 'queue', 'runAt', 'payload'] as const).filter((what) => to[what] !== undefined)
    const [row] = await this.#database.query(
      'errand_change',
      `select * from ${this.#database.rule('change')}($1, $2, $3, $4, $5, $6, $7, $8, '${rowWait}')`,
      [
        id,
        to.lane === undefined ? null : laneRank[to.lane],
        to.queue ?? null,
        to.runAt === undefined ? null : Math.round(to.runAt),
        to.payload?.codec ?? null,
        to.payload?.text ?? null,
        `{${jsonMembers({ ...note, changed })}}`,
        changedGraceMs,
      ],
      { repeatable: false },
    )
    const [verdict, state, queue, rank] = row ?? []
    if (verdict === 'unknown') throw notFound(id)
    if (verdict === 'key')
      throw new ErrandError(
        'E_NOT_ALLOWED',
        `job ${id} has an ordering key, which belongs to its queue; cancel it and dispatch it again`,
      )
    if (verdict === 'suspended')
      throw new ErrandError(
        'E_NOT_ALLOWED',
        `job ${id} is suspended: it has begun, so only its lane can be changed`,
      )
    if (verdict !== 'ok')
      throw new ErrandError(
        'E_NOT_ALLOWED',
        `job ${id} is ${verdict ?? 'gone'}; only a job that waits can be changed`,
      )
    const after = toState(state)
    const ticket = after === 'ready' ? { id, queue: queue!, lane: lane(rank), log: this.#logId() } : undefined
    return { state: after, ticket }
  }

  async pause(queue: string, note: Note): Promise<void> {
    await this.#database.query(
      'errand_pause',
      `insert into ${this.#schema}.paused_queues (name, paused_by, paused_at, reason)
       values ($1, $2, ${this.#schema}.clock(), $3)
       on conflict (name) do update set paused_by = excluded.paused_by, reason = excluded.reason`,
      [queue, note.by, note.reason ?? null],
    )
  }

  async resume(queue: string): Promise<void> {
    await this.#database.query('errand_resume', `delete from ${this.#schema}.paused_queues where name = $1`, [
      queue,
    ])
    // Tickets that came during the pause were dropped, so ready jobs become due for publishing at once, in parts.
    while ((await this.#sweeps.expedite([queue], { limit: expeditedAtOnce })).more);
  }

  async limitQueue(queue: string, concurrency: number | undefined, note: Note): Promise<void> {
    const table = `${this.#schema}.limited_queues`
    if (concurrency === undefined) {
      await this.#database.query('errand_unlimit', `delete from ${table} where name = $1`, [queue])
      return
    }
    await this.#database.query(
      'errand_limit',
      `insert into ${table} (name, concurrency, limited_by, limited_at, reason)
       values ($1, $2, $3, ${this.#schema}.clock(), $4)
       on conflict (name) do update set concurrency = excluded.concurrency, limited_by = excluded.limited_by,
         limited_at = excluded.limited_at, reason = excluded.reason`,
      [queue, concurrency, note.by, note.reason ?? null],
    )
  }

  async queues(): Promise<readonly QueueRecord[]> {
    const s = this.#schema
    const some = (state: 'scheduled' | 'blocked' | 'suspended'): string =>
      `(select from ${s}.live l where l.held = ${stateCode[state]} and l.queue = n.name order by l.seq limit b.most + 1)`
    const rows = await this.#database.readInOrder(
      `with recursive ${openLanes(s)}, ${heldQueues(s, 'scheduled', 'scheduled')}, ${heldQueues(s, 'blocked', 'blocked')},
         ${heldQueues(s, 'suspended', 'suspended')},
         named (name) as (
           select queue from open union select queue from scheduled union select queue from blocked
           union select queue from suspended
           union select name from ${s}.paused_queues union select name from ${s}.limited_queues
           union select unnest(queues) from ${s}.workers),
         bound (most) as materialized (
           select greatest(${fewestExact}, least(${mostExact}, ${countedInAll} / greatest(1, count(*)))) from named),
         running (queue, jobs) as (
           select l.queue, count(*) from (select distinct r.id from ${s}.runs r) r
            cross join lateral (select l.queue from ${s}.live l where l.id = any (array[r.id]) offset 0) l
            group by l.queue)
       select n.name, p.name is not null, p.paused_by, (select count(*) from ${someReady(s, 'n.name', 'b.most + 1')} c),
              (select count(*) from ${some('scheduled')} c), (select count(*) from ${some('blocked')} c),
              (select count(*) from ${some('suspended')} c), coalesce(r.jobs, 0), b.most, q.concurrency, q.limited_by
         from named n
        cross join bound b
         left join ${s}.paused_queues p on p.name = n.name
         left join ${s}.limited_queues q on q.name = n.name
         left join running r on r.queue = n.name
        order by n.name`,
    )
    const found = rows.map((row) => {
      const [name, paused, by, ready, scheduled, blocked, suspended, running, most, concurrency, limitedBy] =
        row
      const counts = {
        ready: number(ready),
        scheduled: number(scheduled),
        blocked: number(blocked),
        suspended: number(suspended),
      }
      const estimated = waitingStates.filter((state) => counts[state] > number(most))
      return {
        name: name!,
        paused: paused === 't',
        pausedBy: maybe(by),
        limit: toLimit(concurrency, limitedBy),
        ...counts,
        running: number(running),
        estimated,
      }
    })
    if (found.every(({ estimated }) => estimated.length === 0)) return found
    const estimates = await this.#estimates()
    return found.map((queue) => {
      const better = queue.estimated.map((state) => {
        const estimate = estimates.get(`${stateCode[state]} ${queue.name}`) ?? 0
        return [state, Math.max(queue[state], estimate)] as const
      })
      return { ...queue, ...Object.fromEntries(better) }
    })
  }

  /** About how many jobs each queue has in each state, from some pages of the table. */
  async #estimates(): Promise<ReadonlyMap<string, number>> {
    const s = this.#schema
    const rows = await this.#database.query(
      '',
      `with part (percent) as materialized (
         select least(100, 100.0 * ${pagesSampled} / greatest(1, pg_relation_size('${s}.live') / current_setting('block_size')::bigint)))
       select l.state || ' ' || l.queue, count(*) * 100 / (select percent from part)
         from ${s}.live l tablesample system ((select percent from part)) group by 1`,
    )
    return new Map(rows.map(([what, count]) => [what!, Number(Number(count).toPrecision(2))]))
  }

  async backlogs(atMost: number): Promise<readonly Backlog[]> {
    const s = this.#schema
    const rows = await this.#database.readInOrder(
      `with recursive ${openLanes(s)}
       select n.name, p.name is not null, p.paused_by, (select count(*) from ${someReady(s, 'n.name', '$1')} c),
              q.concurrency, q.limited_by
         from (select queue as name from open
               union select name from ${s}.paused_queues
               union select name from ${s}.limited_queues
               union select unnest(queues) from ${s}.workers) n
         left join ${s}.paused_queues p on p.name = n.name
         left join ${s}.limited_queues q on q.name = n.name
        order by n.name`,
      [atMost],
    )
    return rows.map(([name, paused, by, count, concurrency, limitedBy]) => ({
      name: name!,
      paused: paused === 't',
      pausedBy: maybe(by),
      limit: toLimit(concurrency, limitedBy),
      ready: number(count),
    }))
  }

  async blockedKeys(
    limit: number,
  ): Promise<readonly (QueueKey & { readonly holder: string; readonly waiting: number })[]> {
    const s = this.#schema
    const rows = await this.#database.readInOrder(
      `with recursive ${heldQueues(s, 'held', 'failed')}
       select f.queue, f.key, f.id,
              (select count(*) from (select from ${s}.live l where l.queue = f.queue and l.key = f.key and l.id <> f.id
                                      order by l.seq limit ${mostWaitingCounted}) c)
         from (select l.* from held h
                cross join lateral (select * from ${s}.live l where l.held = ${stateCode.failed} and l.queue = h.queue
                                     order by l.seq limit $1) l
                order by l.seq limit $1) f
        order by f.seq`,
      [limit],
    )
    return rows.map(([queue, key, holder, waiting]) => ({
      queue: queue!,
      key: key!,
      holder: holder!,
      waiting: number(waiting),
    }))
  }

  async workers(): Promise<readonly WorkerRecord[]> {
    const s = this.#schema
    const rows = await this.#database.query(
      'errand_workers',
      `select w.id, w.host, w.pid, w.label, w.queues, w.taking, w.why, ${s}.ms(w.started_at), ${s}.ms(w.last_seen),
              w.lease_until >= ${s}.clock(),
              (select count(distinct r.id) from ${s}.runs r where r.worker = w.id), w.stop, w.drivers
         from ${s}.workers w order by w.started_at, w.id`,
    )
    return rows.map((row) => ({
      id: row[0]!,
      host: row[1]!,
      pid: number(row[2]),
      label: maybe(row[3]),
      queues: strings(row[4]),
      taking: row[5] === 't',
      why: maybe(row[6]),
      startedAt: number(row[7]),
      lastSeen: number(row[8]),
      alive: row[9] === 't',
      running: number(row[10]),
      stopping: row[11] === 't',
      drivers: strings(row[12]),
    }))
  }

  async stopWorkers(id: string | undefined): Promise<number> {
    const rows = await this.#database.query(
      'errand_stop_workers',
      `update ${this.#schema}.workers set stop = true where $1::text is null or id = $1 returning id`,
      [id ?? null],
    )
    return rows.length
  }

  async transfer(): Promise<Transfer | undefined> {
    const [row] = await this.#database.query(
      'errand_transfer',
      `select transfer_revision, transfer from ${this.#schema}.meta`,
    )
    return toTransfer(row?.[0], row?.[1])
  }

  async setTransfer(transfer: NewTransfer, after: number): Promise<Transfer | undefined> {
    const s = this.#schema
    const [row] = await this.#database.query(
      'errand_set_transfer',
      `update ${s}.meta
          set transfer_revision = transfer_revision + 1,
              transfer = (($1::text)::jsonb || jsonb_build_object('at', ${s}.ms(${s}.clock())))::text
        where transfer_revision = $2
       returning transfer_revision, transfer`,
      [JSON.stringify(transfer), after],
      { repeatable: false },
    )
    return toTransfer(row?.[0], row?.[1])
  }

  async prune(options: PruneOptions): Promise<Pruned> {
    const { succeededMs, failedMs, limit } = options
    const text = `select gone, more, kept, constraints
      from ${this.#database.rule('prune')}($1, ${this.#schema}.clock() - $2::bigint * interval '1 millisecond', $3, $4)`
    const ended = async (types: readonly number[], ms: number, most: number): Promise<Pruned> => {
      const ask = (keep: boolean): Promise<readonly Row[]> =>
        this.#database.query('errand_prune', text, [arrayLiteral(types), Math.round(ms), most, keep])
      const [row] = await ask(false).catch((error: unknown) => {
        if (!isRefusedData(error)) throw error
        return ask(true)
      })
      const [jobs, more, kept, constraints] = row ?? []
      this.#noteKept(strings(kept), strings(constraints))
      return { jobs: number(jobs), more: more === 't' }
    }
    const succeeded = await ended([eventCode.succeeded, eventCode.cancelled], succeededMs, limit)
    if (succeeded.more || succeeded.jobs >= limit) return { ...succeeded, more: true }
    const failed = await ended([eventCode.failed, eventCode.skipped], failedMs, limit - succeeded.jobs)
    let jobs = succeeded.jobs + failed.jobs
    if (failed.more) return { jobs, more: true }
    for (const [states, ms] of [
      [[stateCode.succeeded, stateCode.cancelled], succeededMs],
      [[stateCode.failed], failedMs],
    ] as const) {
      const pruned = await this.#pruneFlows(states, ms, limit - jobs)
      jobs += pruned.jobs
      if (pruned.more || jobs >= limit) return { jobs, more: true }
    }
    // Events are pruned when no job can need them any more: jobs first, and events only when no old job is left.
    const [row] = await this.#database.query(
      'errand_drop_events',
      `select ${this.#database.rule('drop_events')}(${this.#schema}.clock() - $1::bigint * interval '1 millisecond', $2)`,
      [Math.round(Math.max(succeededMs, failedMs)), limit],
    )
    return { jobs, more: number(row?.[0]) >= limit }
  }

  /** With their members. */
  async #pruneFlows(states: readonly number[], ms: number, limit: number): Promise<Pruned> {
    const ask = (keep: boolean): Promise<readonly Row[]> =>
      this.#database.query(
        'errand_prune_flows',
        `select gone, more
           from ${this.#database.rule('prune_flows')}($1, ${this.#schema}.clock() - $2::bigint * interval '1 millisecond', $3, $4)`,
        [arrayLiteral(states), Math.round(ms), limit, keep],
      )
    const [row] = await ask(false).catch((error: unknown) => {
      if (!isRefusedData(error)) throw error
      return ask(true)
    })
    return { jobs: number(row?.[0]), more: row?.[1] === 't' }
  }

  get #schema(): string {
    return this.#database.schema
  }

  #noteKept(ids: readonly string[], constraints: readonly string[]): void {
    for (const constraint of new Set(constraints)) {
      const jobs = ids.filter((_, index) => constraints[index] === constraint)
      this.#logger.warn(
        { jobs: jobs.slice(0, mostNamed), count: jobs.length, constraint },
        'ended jobs cannot be pruned because of a constraint; they are tried again in a day',
      )
    }
  }

  async #each(ids: readonly string[], text: string, values: readonly Value[]): Promise<readonly Row[]> {
    const rows: Row[] = []
    let refusal: Error | undefined
    const act = (some: readonly string[]): Promise<readonly Row[]> =>
      this.#database.query('', text, [arrayLiteral(some), ...values], { repeatable: false })
    for (const batch of splitIntoBatches([...new Set(ids.filter(isUuid))])) {
      const answers = await halving<string, readonly Row[]>(batch, {
        run: async (part) => [await act(part)],
        isCulprit: isRefusedData,
        // The others go on. The caller gets the error at the end.
        alone: async (id, error) => {
          try {
            // It may be the row of the job that waits behind it for its key.
            if ((await setAsideHeirs(this.#database, this.#logger, [id])) > 0) return await act([id])
          } catch (again) {
            if (!isRefusedData(again)) throw again
          }
          refusal ??= new ErrandError('E_LOG', `job ${id}: ${(error as Error).message}`, { cause: error })
          return []
        },
      })
      rows.push(...answers.flat())
    }
    if (refusal) throw refusal
    return rows
  }

  #ticket(row: Row): Ticket {
    return { id: row[1]!, queue: row[2]!, lane: lane(row[3]), log: this.#logId() }
  }
}

/** Members of a JSON object, for a row that keeps them until the run has ended. */
function toMembers({ by, reason }: Note): string {
  return jsonMembers({ by, reason }) ?? ''
}

function toData(note: Note): string {
  return `{${toMembers(note)}}`
}

function notFound(id: string): ErrandError {
  return new ErrandError('E_NOT_FOUND', `there is no job ${id} in this log`)
}

function toLimit(concurrency: Column | undefined, by: Column | undefined): QueueLimit | undefined {
  return concurrency == null ? undefined : { concurrency: number(concurrency), by: by ?? '' }
}
