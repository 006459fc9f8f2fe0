import { batcher, ErrandError, isErrandError, isFinal } from '@errand/core/ports'
import type { Batcher, JobFilter, JobRecord, Unfinished } from '@errand/core/ports'
import { eventCode, stateCode, toStoredState } from './codes.ts'
import type { Database, Row, Value } from './database.ts'
import { arrayLiteral, isUuid } from './literals.ts'
import type { OneJob } from './one-job.ts'
import { pageOf } from './pages.ts'
import { maybe, maybeNumber, number, storedColumns, storedCount, toStoredJob } from './rows.ts'

/** What the events of a job tell, newest first: all that is left if it has no live row. */
interface Past {
  readonly state: JobRecord['state']
  readonly run: number
  readonly attempt: number
  readonly crashes: number
  readonly finishedAt: number | undefined
  readonly cancelRequested: boolean
}

const ends: readonly number[] = [
  eventCode.succeeded,
  eventCode.failed,
  eventCode.cancelled,
  eventCode.skipped,
]
const errors: readonly number[] = [eventCode.errored, eventCode.failed, eventCode.lost]

/** Columns of a record's row: the version of the live row, and the time before which the job has no events. */
const liveVersionAt = storedCount + 11
const sinceAt = storedCount + 12

/** Records in one read. A limit, because each has its payload with it. */
const mostTogether = 50

/** Jobs with their state: `get`, `unfinished` and `list` of the port. */
export class Records {
  readonly #database: Database
  readonly #oneJob: OneJob
  /** Waiters for results ask for the records of one batch of outcomes at the same moment: one query answers them. */
  readonly #gets: Batcher<string, JobRecord | undefined>

  constructor(database: Database, oneJob: OneJob) {
    this.#database = database
    this.#oneJob = oneJob
    this.#gets = batcher({ run: (ids) => this.#getEach(ids), maxItems: mostTogether })
  }

  async get(id: string): Promise<JobRecord | undefined> {
    return isUuid(id) ? this.#gets.add(id) : undefined
  }

  /** Asks for each record alone, so that one that cannot be read does not hide its neighbours. */
  async #getEach(
    ids: readonly string[],
  ): Promise<readonly (JobRecord | undefined | Promise<JobRecord | undefined>)[]> {
    try {
      return await this.#getAll(ids)
    } catch (error) {
      if (!(error instanceof RangeError || isErrandError(error, 'E_LOG'))) throw error
      const [id] = ids
      if (ids.length > 1) return ids.map(async (one) => (await this.#getEach([one]))[0])
      throw new ErrandError('E_LOG', `job ${id}: ${error.message}`, { cause: error })
    }
  }

  async #getAll(ids: readonly string[]): Promise<readonly (JobRecord | undefined)[]> {
    const records = await this.#oneJob.read(async (source) => {
      const rows = await this.#database.query(
        `errand_get${source.name}`,
        this.#select(
          `${source.selectRows('known', '$1::uuid[]')} j
             left join ${source.selectRows('live', '$1::uuid[]')} l on l.id = j.id
             left join ${source.selectRows('progress', '$1::uuid[]')} p on p.job_id = j.id`,
          'j.ended_as',
        ),
        [arrayLiteral(ids)],
      )
      return this.#records(rows)
    })
    const byId = new Map(records.map((record) => [record.id, record]))
    return ids.map((id) => byId.get(id.toLowerCase()))
  }

  async unfinished(ids: readonly string[]): Promise<readonly Unfinished[]> {
    const rows = await this.#oneJob.read((source) =>
      this.#database.query(
        `errand_unfinished${source.name}`,
        `select l.id, l.version from ${source.selectRows('live', '$1::uuid[]')} l where l.state <> ${stateCode.failed}`,
        [arrayLiteral(ids.filter(isUuid))],
      ),
    )
    return rows.map(([id, version]) => ({ id: id!, version: number(version) }))
  }

  async list(
    filter: JobFilter,
    page: { readonly limit: number; readonly after?: string | undefined },
  ): Promise<readonly JobRecord[]> {
    if (page.after !== undefined && !isUuid(page.after)) return []
    const { schema } = this.#database
    const values: Value[] = []
    const bind = (value: Value): string => `$${values.push(value)}`
    const limit = bind(page.limit)
    const rows = await this.#database.readInOrder(
      this.#select(
        `(select f.seq from (${pageOf(schema, filter, page.after, limit, bind)}) f order by f.seq desc limit ${limit}) found
           cross join lateral (select * from ${schema}.jobs j where j.seq = any (array[found.seq]) offset 0) j
           left join lateral (select * from ${schema}.live l where l.id = any (array[j.id]) offset 0) l on true
           left join lateral (select * from ${schema}.progress p where p.job_id = any (array[j.id]) offset 0) p on true
           left join lateral (select * from ${schema}.ended x where x.id = any (array[j.id]) offset 0) x on true
          order by j.seq desc`,
        'x.state',
      ),
      values,
    )
    return this.#records(rows)
  }

  /** @param from the tables as `j`, `l` and `p`, and which of their rows @param endedAs the state of one that has ended */
  #select(from: string, endedAs: string): string {
    const { schema } = this.#database
    return `select ${storedColumns(schema, 'j', 'l')},
                   l.state, l.run, l.attempt, coalesce(l.crashes, 0), l.worker, ${schema}.ms(l.run_at), l.cancel is not null,
                   j.max_attempts, j.unique_key, j.share, p.value, p.message, l.version,
                   ${schema}.ms(coalesce(j.events_since, j.dispatched_at)), j.lim, j.lim_key, l.at_limit, j.flow,
                   case when l.has_needs and l.state in (${stateCode.scheduled}, ${stateCode.blocked})
                        then ${this.#database.rule('unmet')}(array[l.id]) <> '{}' end, ${endedAs}
              from ${from}`
  }

  async #records(rows: readonly Row[]): Promise<readonly JobRecord[]> {
    if (rows.length === 0) return []
    const listIds = (some: readonly Row[]): string[] => some.map((row) => row[0]!)
    const since = Math.min(...rows.map((row) => number(row[sinceAt])))
    const events = new Map(await this.#events(listIds(rows), since))
    // The time of an event only says where to look first: its clock may have been set back.
    const torn = rows.filter((row) => !isWhole(row, events.get(row[0]!) ?? []))
    if (torn.length > 0)
      for (const [id, all] of await this.#events(listIds(torn), undefined)) events.set(id, all)
    return rows.map((row) => toRecord(row, events.get(row[0]!) ?? []))
  }

  /**
   * Reads what the records need of the jobs' events, newest first. Only the last result and the last error have their text.
   * @param since ms since the epoch: days that ended an hour before it are not read
   */
  async #events(
    ids: readonly string[],
    since: number | undefined,
  ): Promise<ReadonlyMap<string, readonly Row[]>> {
    const { schema } = this.#database
    const rows = await this.#database.query(
      `errand_past`,
      `select e.job_id, e.type, e.state, e.run, e.attempt, ${schema}.ms(e.at), e.codec,
              case when row_number() over (
                partition by e.job_id, e.type = ${eventCode.succeeded}, e.type in (${errors.join(', ')})
                order by e.version desc) = 1 then e.body end,
              e.version, e.newest, e.found
         from (select e.*, max(e.version) over (partition by e.job_id) as newest,
                      count(*) over (partition by e.job_id) as found
                 from ${this.#database.rule('events_of')}($1, to_timestamp($2 / 1000.0) - interval '1 hour') e) e
        where e.type not in (${eventCode.due}, ${eventCode.unblocked}, ${eventCode.progressed})
        order by e.job_id, e.version desc`,
      [arrayLiteral(ids), since ?? null],
    )
    const events = new Map<string, Row[]>()
    for (const row of rows) {
      const of = events.get(row[0]!) ?? []
      of.push(row)
      events.set(row[0]!, of)
    }
    return events
  }
}

/** Versions count without a gap, up to the version of the live row or to an end. A gap shows that an event was not found. */
function isWhole(row: Row, events: readonly Row[]): boolean {
  const [last] = events
  if (!last || last[9] !== last[10]) return false
  const live = row[liveVersionAt]
  return live ? number(last[9]) >= number(live) : last[8] === last[9] && isFinal(toStoredState(last[2]))
}

function toPast(events: readonly Row[]): Past {
  const [last] = events
  const replay = events.findIndex((event) => number(event[1]) === eventCode.replayed)
  const since = replay < 0 ? events : events.slice(0, replay)
  // They are counted anew when it goes on after a suspension.
  const goesOn = since.findIndex((event) => number(event[1]) === eventCode.resumed)
  const sinceBegun = goesOn < 0 ? since : since.slice(0, goesOn)
  const end = since.find((event) => ends.includes(number(event[1])))
  return {
    state: last ? toStoredState(last[2]) : 'failed',
    run: number(last?.[3] ?? '0'),
    attempt: number(last?.[4] ?? '0'),
    crashes: sinceBegun.filter((event) => number(event[1]) === eventCode.lost).length,
    finishedAt: end && number(end[5]),
    cancelRequested: since.some((event) => number(event[1]) === eventCode.cancel_requested),
  }
}

function toRecord(row: Row, events: readonly Row[]): JobRecord {
  const [
    state,
    run,
    attempt,
    crashes,
    worker,
    runAt,
    cancel,
    maxAttempts,
    uniqueKey,
    shareKey,
    value,
    message,
    ,
    ,
    lim,
    limitKey,
    atLimit,
    flow,
    waitsForNeeds,
    endedAs,
  ] = row.slice(storedCount)
  const past = toPast(events)
  // The events of a job that others need may have gone before it.
  const now = state ? toStoredState(state) : events.length > 0 ? past.state : toStoredState(endedAs)
  const findBody = (types: readonly number[]): JobRecord['result'] => {
    const event = events.find((one) => types.includes(number(one[1])) && typeof one[7] === 'string')
    return event ? { codec: event[6] ?? '', text: event[7] ?? '' } : undefined
  }
  return {
    ...toStoredJob(row),
    state: now,
    run: state ? number(run) : past.run,
    attempt: state ? number(attempt) : past.attempt,
    crashes: state ? number(crashes) : past.crashes,
    maxAttempts: number(maxAttempts),
    worker: maybe(worker),
    runAt: maybeNumber(runAt),
    finishedAt: isFinal(now) ? past.finishedAt : undefined,
    cancelRequested: state ? cancel === 't' : past.cancelRequested,
    uniqueKey: maybe(uniqueKey),
    shareKey: maybe(shareKey),
    limit: typeof lim === 'string' ? { name: lim, key: limitKey ?? '', waits: atLimit === 't' } : undefined,
    flow: maybe(flow),
    waitsForNeeds: waitsForNeeds === 't',
    progress: typeof value === 'string' ? { value: Number(value), message: maybe(message) } : undefined,
    result: now === 'succeeded' ? findBody([eventCode.succeeded]) : undefined,
    error: now === 'succeeded' ? undefined : findBody(errors),
  }
}
