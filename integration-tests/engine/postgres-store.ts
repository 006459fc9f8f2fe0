import type { Client } from 'pg'
import { answerEach, pickArguments } from '@errand/core/async-engine'
import { noTransactions } from '@errand/core/engine'
import type {
  Answer,
  Answerers,
  AsyncDatabase,
  AsyncTransaction,
  Changes,
  KeyFound,
  Locks,
  Question,
} from '@errand/core/async-engine'
import type { JobRow, UniqueRow } from '@errand/core/engine'
import { isFinal } from '@errand/core/ports'
import type { QueueKey } from '@errand/core/ports'
import { stateCode } from '../../packages/log-postgres/src/codes.ts'
import { isUuid } from '../../packages/log-postgres/src/literals.ts'
import {
  nextLinks,
  readRow,
  selectFinished,
  selectJobs,
  selectLine,
  toEnded,
  toEvent,
  toLive,
  writeEnded,
  writeEvents,
  writeJobs,
  writeLive,
} from './columns.ts'
import type { JobColumns } from './columns.ts'

/** Deadlock, serialization failure, and a key that another transaction has just stored. */
const takenBack: readonly unknown[] = ['40P01', '40001', '23505']

/** What operators' calls need of an asynchronous database, over the tables of the log on PostgreSQL. */
export class PostgresStore implements AsyncDatabase {
  readonly #client: Client
  readonly #schema: string
  /** The links of the newest events of the jobs that were read. */
  readonly #lasts = new Map<string, number>()
  /** Ordering keys whose rows are locked. */
  readonly #heldKeys = new Set<string>()

  constructor(client: Client, schema: string) {
    this.#client = client
    this.#schema = schema
  }

  async write<T>(work: (transaction: AsyncTransaction) => Promise<T>): Promise<T> {
    for (;;) {
      await this.#sql('begin')
      try {
        const result = await work(await this.#begin())
        await this.#sql('commit')
        return result
      } catch (error) {
        await this.#sql('rollback')
        if (!takenBack.includes((error as { code?: unknown }).code)) throw error
      }
    }
  }

  read<T>(work: (transaction: AsyncTransaction) => Promise<T>): Promise<T> {
    return this.write(work)
  }

  join(): never {
    return noTransactions('twin')
  }

  async #begin(): Promise<AsyncTransaction> {
    const [row] = await this.#sql<{ now: string }>('select errand.ms(errand.clock()) as now')
    const now = Number(row!.now)
    this.#lasts.clear()
    this.#heldKeys.clear()
    return {
      now,
      read: (questions, locks) => this.#read(questions, locks!),
      write: (changes) => this.#write(changes, now),
      isRefusedData: () => false,
    }
  }

  async #sql<Row>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    const { rows } = await this.#client.query(text.replaceAll('errand.', `${this.#schema}.`), [...values])
    return rows as Row[]
  }

  /** Locks in the one order: unique keys, ordering keys, jobs by id. Reads each in a later statement than it locks it. */
  async #read(questions: readonly Question[], locks: Locks): Promise<Answer[]> {
    const uniques = await this.#uniques(pickArguments(questions, 'unique'))
    const named = pickArguments(questions, 'row').map(([id]) => id)
    const ofJobs = await this.#readKeys(pickArguments(questions, 'keyOf').map(([id]) => id))
    const keys = [...ofJobs.values(), ...pickArguments(questions, 'key').map(([key]) => key)]
    const holders = await this.#holders(keys)
    const longest = Math.max(
      0,
      ...pickArguments(questions, 'key').map(([, jobs]) => jobs),
      ...pickArguments(questions, 'keyOf').map(([, jobs]) => jobs),
    )
    const lines = new Map<string, string[]>()
    for (const key of keys) lines.set(formatKey(key), await this.#line(key, longest))
    const finished = new Map<string, string[]>()
    for (const given of pickArguments(questions, 'finished'))
      finished.set(JSON.stringify(given), await this.#finished(...given))
    const rows = await this.#rows(
      [...named, ...[...lines.values(), ...finished.values()].flat()].filter(isUuid),
      locks,
    )
    const readRows = (ids: readonly string[]): JobRow[] => ids.flatMap((id) => rows.get(id) ?? [])
    const key = (one: QueueKey, jobs: number): KeyFound => ({
      ...one,
      holder: holders.get(formatKey(one)),
      jobs: readRows(lines.get(formatKey(one)) ?? []).slice(0, jobs),
    })
    const asked: Partial<Answerers> = {
      facts: async () => {
        const [meta] = await this.#sql<{ log_id: string }>('select log_id from errand.meta')
        return {
          logId: meta!.log_id,
          epoch: 1,
          lastSweepAt: undefined,
          holdUntil: undefined,
          transfer: undefined,
        }
      },
      row: (id) => rows.get(id),
      key,
      keyOf: (id, jobs) => {
        const one = ofJobs.get(id)
        return one && key(one, jobs)
      },
      unique: (name, text) => uniques.get(formatKey({ queue: name, key: text })),
      endedFlows: () => [],
      finished: (...given) => readRows(finished.get(JSON.stringify(given)) ?? []),
      // Events of the day stay: on PostgreSQL they go by whole days.
      oldEvents: () => 0,
    }
    return answerEach(questions, asked as Answerers)
  }

  async #uniques(asked: readonly [name: string, key: string][]): Promise<Map<string, UniqueRow>> {
    const rows = await this.#locked<{ name: string; key: string; job_id: string; free: string | null }>(
      `select u.name, u.key, u.job_id, errand.ms(u.free_at) as free from errand.unique_keys u
         join unnest($1::text[], $2::text[]) as t (name, key) on t.name = u.name and t.key = u.key
        order by u.name, u.key for update of u`,
      [asked.map(([name]) => name), asked.map(([, key]) => key)],
    )
    return new Map(
      rows.map(({ name, key, job_id, free }) => [
        formatKey({ queue: name, key }),
        { jobId: job_id, freeAt: free === null ? undefined : Number(free) },
      ]),
    )
  }

  async #readKeys(ids: readonly string[]): Promise<Map<string, QueueKey>> {
    const rows = await this.#sql<QueueKey & { id: string }>(
      'select id, queue, key from errand.known where id = any ($1::uuid[]) and key is not null',
      [ids.filter(isUuid)],
    )
    return new Map(rows.map(({ id, queue, key }) => [id, { queue, key }]))
  }

  async #holders(keys: readonly QueueKey[]): Promise<Map<string, string>> {
    const rows = await this.#locked<QueueKey & { holder: string }>(
      `select k.queue, k.key, k.holder from errand.keys k
         join (select distinct queue, key from unnest($1::text[], $2::text[]) as t (queue, key)) t
           on t.queue = k.queue and t.key = k.key
        order by k.queue, k.key for update of k`,
      [keys.map(({ queue }) => queue), keys.map(({ key }) => key)],
    )
    for (const row of rows) this.#heldKeys.add(formatKey(row))
    return new Map(rows.map((row) => [formatKey(row), row.holder]))
  }

  /** Runs twice: a statement that has waited may not see a row that was stored during its wait. The second one locks that row too. */
  async #locked<Row>(text: string, values: readonly unknown[]): Promise<Row[]> {
    await this.#sql(text, values)
    return this.#sql(text, values)
  }

  async #line({ queue, key }: QueueKey, limit: number): Promise<string[]> {
    const rows = await this.#sql<{ id: string }>(selectLine, [queue, key, limit])
    return rows.map(({ id }) => id)
  }

  async #finished(states: readonly string[], before: number, limit: number): Promise<string[]> {
    const codes = states.map((state) => stateCode[state as keyof typeof stateCode])
    const rows = await this.#sql<{ id: string }>(selectFinished, [
      codes,
      new Date(before).toISOString(),
      limit,
    ])
    return rows.map(({ id }) => id)
  }

  async #rows(ids: readonly string[], { jobs }: Locks): Promise<Map<string, JobRow>> {
    const how = jobs === 'pass' ? 'for update skip locked' : 'for update'
    // Live rows once more: while this waited for a row in `ended`, a replay may have added some.
    for (const table of ['live', 'ended', 'live'])
      await this.#sql(`select from errand.${table} where id = any ($1::uuid[]) order by id ${how}`, [ids])
    const rows = await this.#sql<JobColumns>(selectJobs, [ids])
    if (rows.some(({ is_late }) => is_late))
      throw Object.assign(new Error('a job was changed by a later transaction'), { code: '40001' })
    for (const { job, live, ended } of rows) this.#lasts.set(job['id'], (live ?? ended)?.['last'])
    return new Map(rows.map((row) => [String(row.job['id']), readRow(row)]))
  }

  async #write(changes: Changes, now: number): Promise<void> {
    for (const { name, key, unique } of changes.uniques.values()) {
      if (!unique) {
        await this.#sql('delete from errand.unique_keys where name = $1 and key = $2', [name, key])
        continue
      }
      const free = unique.freeAt === undefined ? null : new Date(unique.freeAt).toISOString()
      const stored = await this.#sql(
        `insert into errand.unique_keys as u (name, key, job_id, free_at) values ($1, $2, $3, $4)
         on conflict (name, key) do update set job_id = excluded.job_id, free_at = excluded.free_at
          where u.job_id = excluded.job_id or u.free_at <= errand.clock() returning 1`,
        [name, key, unique.jobId, free],
      )
      if (stored.length === 0) throw Object.assign(new Error('the unique key was taken'), { code: '23505' })
    }
    for (const { queue, key, holder } of changes.keys.values()) {
      const isHeld = this.#heldKeys.has(formatKey({ queue, key }))
      if (holder === undefined)
        await this.#sql('delete from errand.keys where queue = $1 and key = $2', [queue, key])
      else
        await this.#sql(
          // If another transaction has stored it since it was read, the insert fails, and everything is done again.
          isHeld
            ? 'update errand.keys set holder = $3 where queue = $1 and key = $2'
            : 'insert into errand.keys (queue, key, holder) values ($1, $2, $3)',
          [queue, key, holder],
        )
    }
    for (const [id, { codec, text }] of changes.payloads)
      await this.#sql('update errand.jobs set codec = $2, payload = $3 where id = $1', [id, codec, text])
    const links = await this.#sql<{ link: string }>(nextLinks, [changes.events.length])
    const events = changes.events.map((event, at) => {
      const link = Number(links[at]!.link)
      const before = this.#lasts.get(event.jobId)!
      this.#lasts.set(event.jobId, link)
      return toEvent(event, link, before)
    })
    const updated = [...changes.updated.values()]
    const live = updated.filter(({ state }) => !isFinal(state))
    const ended = updated.filter((row) => !live.includes(row))
    const last = (row: JobRow): number | undefined => this.#lasts.get(row.id)
    await this.#sql(writeLive, [JSON.stringify(live.map((row) => toLive(row, last(row))))])
    await this.#sql(writeEnded, [JSON.stringify(ended.map((row) => toEnded(row, last(row), now)))])
    await this.#sql(writeJobs, [JSON.stringify(updated.map((row) => toLive(row, last(row))))])
    await this.#sql(writeEvents, [JSON.stringify(events)])
    for (const table of ['jobs', 'ended'])
      await this.#sql(`delete from errand.${table} where id = any ($1::uuid[])`, [[...changes.removed]])
    for (const table of ['steps', 'messages'])
      await this.#sql(`delete from errand.${table} where job_id = any ($1::uuid[])`, [[...changes.forgotten]])
    await this.#sql('delete from errand.progress where job_id = any ($1::uuid[])', [[...changes.removed]])
  }
}

const formatKey = ({ queue, key }: QueueKey): string => JSON.stringify([queue, key])
