import { randomBytes, randomUUID } from 'node:crypto'
import * as fc from 'fast-check'
import { Client } from 'pg'
import { afterEach, describe, expect, inject, it } from 'vitest'
import { asyncHost } from '@errand/core/async-engine'
import { engineLog } from '@errand/core/engine'
import { isErrandError, systemClock } from '@errand/core/ports'
import type { JobLog, SettledOutcome, WorkerRef } from '@errand/core/ports'
import { postgres } from '@errand/log-postgres'
import {
  checkHistory,
  newJob,
  outcomes,
  quietLogger,
  recorded,
  settlement,
  until,
  workerRef,
} from '@errand/testkit'
import { queues, randomLifeWithoutCalls } from '../../packages/core/test/engine/random-life.ts'
import type { Life } from '../../packages/core/test/engine/random-life.ts'
import { dump } from './columns.ts'
import { PostgresStore } from './postgres-store.ts'
import { tries } from '../services/tries.ts'

const url = inject('postgres')
/** Calls with two implementations: a function on PostgreSQL, and a rule of the engine. */
const operators: readonly unknown[] = ['cancel', 'change', 'prune', 'replay', 'skip']
/** Calls that answer with cursors, or with the whole log. */
const lookedAtLater: readonly unknown[] = ['read', 'end', 'readHistory']

describe.skipIf(url === undefined)("operators' calls on PostgreSQL, by the rules of the engine", () => {
  const closing: (() => Promise<unknown>)[] = []
  afterEach(async () => {
    for (const close of closing.splice(0).toReversed()) await close()
  })

  async function connect(): Promise<Client> {
    const client = new Client({ connectionString: url, options: '-c synchronous_commit=off -c jit=off' })
    await client.connect()
    closing.push(() => client.end())
    return client
  }

  /** A log in its own schema, and the engine over the same tables. */
  async function openLog(poolSize: number) {
    const client = await connect()
    const schema = `engine_${randomBytes(6).toString('hex')}`
    const sql = async (text: string, values: readonly unknown[] = []) =>
      (await client.query(text.replaceAll('errand.', `${schema}.`), [...values])).rows
    const log = postgres({ url: url!, schema, poolSize }).open({ logger: quietLogger, clock: systemClock })
    closing.push(
      () => sql(`drop schema if exists ${schema} cascade`),
      () => log.close(),
    )
    await log.migrate()
    const openEngine = async (): Promise<{ log: JobLog; store: PostgresStore }> => {
      const store = new PostgresStore(await connect(), schema)
      return { store, log: engineLog({ ...log, logger: quietLogger, ...asyncHost(store) }) }
    }
    return { log, sql, openEngine }
  }

  it('write and answer the same as the functions of the database', async () => {
    // With one connection each, jobs are stored in the same order.
    const [one, two] = [await openLog(1), await openLog(1)]
    const startsAt = new Date().toISOString()
    for (const { sql } of [one, two]) {
      // Both have the same id, and one clock that stands still between two steps.
      await sql(`create table errand.now (at timestamptz)`)
      await sql(`insert into errand.now values ($1)`, [startsAt])
      await sql(`create or replace function errand.clock() returns timestamptz language sql volatile
                   return (select at from errand.now)`)
      await sql(`update errand.meta set log_id = 'log'`)
    }
    const advance = async (ms: number): Promise<void> => {
      for (const { sql } of ms > 0 ? [one, two] : [])
        await sql(`update errand.now set at = at + $1 * interval '1 millisecond'`, [ms])
    }
    const engine = (await two.openEngine()).log
    const called: Record<string, number> = {}
    await fc.assert(
      fc.asyncProperty(randomLifeWithoutCalls, async (steps) => {
        const life: Life = { ids: [], runs: [] }
        for (const { name, call } of steps) {
          await advance(typeof name === 'number' ? name : 2)
          if (typeof name === 'number' || lookedAtLater.includes(name)) continue
          const ask = all[name] ?? call(life)
          const expected = await catchAnswer(ask(one.log))
          const actual = await catchAnswer(ask(operators.includes(name) ? engine : two.log))
          expect(sorted(actual), name).toEqual(sorted(expected))
          if (operators.includes(name)) called[name] = (called[name] ?? 0) + 1
        }
        const readAll = (log: JobLog) => Promise.all(life.ids.map((id) => log.readHistory(id)))
        expect(withoutCursors(await readAll(two.log))).toEqual(withoutCursors(await readAll(one.log)))
        expect(await two.sql(dump)).toEqual(await one.sql(dump))
      }),
      { ...tries(12), endOnFailure: true },
    )
    expect(Object.keys(called).toSorted()).toEqual(operators)
  })

  it('lock as the functions do: many operators and workers at once block nobody, and lose no key', async () => {
    const { log, sql, openEngine } = await openLog(4)
    const jobs = Array.from({ length: 36 }, (_, at) =>
      newJob({
        queue: 'many',
        ...(at % 4 === 3
          ? {}
          : { ordering: { key: `k${at % 4}`, onFailure: at % 8 < 4 ? 'block' : 'skip' } }),
        ...(at % 5 === 0 ? { unique: { key: `u${at}`, until: 'finished' } } : {}),
        maxAttempts: 1_000,
      }),
    )
    await log.append(jobs)
    const some = (count: number): string[] => Array.from({ length: count }, () => oneOf(jobs).id)
    const by = { by: 'somebody' }
    const engines = [await openEngine(), await openEngine(), await openEngine()]
    const operating = new Set<JobLog>([log, ...engines.map((each) => each.log)])
    const operate = async (on: JobLog): Promise<void> => {
      for (let calls = 0; calls < 40; calls += 1) {
        const what = oneOf(['cancel', 'replay', 'replay', 'skip', 'change'] as const)
        if (what === 'change') {
          const to = oneOf([{ lane: 'high' }, { runAt: 0 }, { runAt: Date.now() + 20 }] as const)
          await on.change(some(1)[0]!, to, by).catch((error: unknown) => {
            if (!isErrandError(error, 'E_NOT_ALLOWED')) throw error
          })
        } else await on[what](some(1 + (calls % 6)), by)
      }
      operating.delete(on)
    }
    const outcomesOfRuns = [
      outcomes.succeed(),
      outcomes.succeed(),
      outcomes.fail(),
      outcomes.retry(0),
      outcomes.release(false),
    ]
    const runSome = async (worker: WorkerRef, ends: readonly SettledOutcome[]): Promise<void> => {
      const claims = await log.take(['many'], 3, worker, randomUUID())
      const settled = await log.settle(
        claims.map((claim) => settlement(claim, oneOf(ends))),
        worker,
      )
      if (recorded(settled).some(({ pending }) => pending)) await log.passNotes(100)
      await log.sweep({ limit: 100, republish: false, queues: [], skipQueues: [] })
    }
    const startWorker = async (): Promise<WorkerRef> => {
      const worker = workerRef({ leaseMs: 600_000 })
      await log.beat(worker, { queues: ['many'], taking: true, progress: [] })
      return worker
    }
    const work = async (): Promise<void> => {
      const worker = await startWorker()
      while (operating.size > 0) await runSome(worker, outcomesOfRuns)
    }
    await Promise.all([...engines.map((each) => operate(each.log)), operate(log), work(), work()])

    // Whatever they did to the keys, all jobs can end, one after another.
    const last = await startWorker()
    const ids = jobs.map(({ id }) => id)
    await until(async () => {
      await engines[0]!.log.skip(ids, by)
      await runSome(last, [outcomes.succeed()])
      return (await log.unfinished(ids)).length === 0
    })
    await until(async () => (await log.passNotes(100)).length === 0)
    expect(await sql('select queue, key from errand.keys')).toEqual([])
    expect(await sql('select id, state from errand.live')).toEqual([])
    expect(await sql('select name, key from errand.unique_keys where free_at is null')).toEqual([])
    const events = (await Promise.all(ids.map((id) => log.readHistory(id)))).flat()
    const dispatched = jobs.map(({ id, ordering }) => ({ id, onFailure: ordering?.onFailure ?? 'block' }))
    expect(checkHistory({ events, dispatched })).toEqual([])
  })
})

function oneOf<T>(items: readonly T[]): T {
  return items[Math.floor(Math.random() * items.length)]!
}

/** Limits that are never reached. */
const all: Readonly<Record<string, (log: JobLog) => Promise<unknown>>> = {
  // It counts ends that are read on PostgreSQL, and jobs that are deleted in the engine.
  prune: (log) => log.prune({ succeededMs: 2_000, failedMs: 4_000, limit: 1_000 }),
  // Of jobs that are overdue since the same moment, none is promised to be first.
  sweep: (log) => log.sweep({ limit: 1_000, republish: true, queues: [], skipQueues: [] }),
  expedite: (log) => log.expedite(queues, { limit: 1_000 }),
}

/** The answer of a call, or its error. The order of tickets is not promised: see `sorted`. */
const catchAnswer = (call: Promise<unknown>): Promise<unknown> =>
  call.catch((error: unknown) => ({ code: (error as { code?: string }).code }))

function sorted(answer: unknown): unknown {
  if (typeof answer !== 'object' || answer === null) return answer
  return Object.fromEntries(
    Object.entries(answer).map(([name, value]) => [
      name,
      ['tickets', 'duplicates', 'workers', 'failed', 'republished'].includes(name)
        ? (value as unknown[]).toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
        : value,
    ]),
  )
}

function withoutCursors(histories: readonly (readonly object[])[]): unknown {
  return histories.map((events) => events.map((event) => ({ ...event, cursor: '' })))
}
