// What PostgreSQL writes for a job: bytes, entries and commits, which do not depend on the machine. The test has its own
// server, so nobody else writes to its log.
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { createErrand, defineJob, defineSchedule, handle } from '@errand/core'
import type { Errand } from '@errand/core'
import type { LogFactory } from '@errand/core/ports'
import { quietLogger, until } from '@errand/testkit'
import { logFromUrl } from '../services/logs.ts'
import { startPrivatePostgres } from '../services/private-postgres.ts'
import { ceilings } from './ceilings.ts'
import { openPrivateScene } from './private-scene.ts'
import type { PrivateScene } from './private-scene.ts'

// Without images of pages in the log, whose number depends on when a checkpoint was, and without a vacuum.
const settings = ['wal_level=replica', 'full_page_writes=off', 'autovacuum=off']
const server = await startPrivatePostgres(undefined, {}, settings)
afterAll(() => server?.stop())

interface Written {
  readonly walBytes: number
  readonly indexEntries: number
  readonly diskBytes: number
}

const payload = z.object({ index: z.number(), text: z.string() })
const job = defineJob({ name: 'written', queue: 'written', payload })
const keyed = defineJob({
  name: 'written.keyed',
  queue: 'written',
  payload,
  order: { key: ({ index }) => `key ${index % 100}` },
})
const plain = defineJob({ name: 'written.plain' })
/** No tick comes while the test runs. */
const inHalfADay = new Date(Date.now() + 43_200_000)
const text = 'the quick brown fox jumps over the lazy dog while five boxing wizards watch, '
  .repeat(3)
  .slice(0, 176)
const jobs = 4_000
const batch = 500
/** An entry of a page that was split is in the record of the split. */
const insertions = '^Btree/(INSERT_LEAF|INSERT_POST|SPLIT_[LR])$'

describe.skipIf(server === undefined)('what PostgreSQL writes', () => {
  it('for a job of 200 bytes stays below its ceilings: log, index entries and disk', async () => {
    await using scene = await openPrivateScene(server!.url, 'written')
    const found = await measure(scene, job)
    expect.soft(found.walBytes).toBeLessThanOrEqual(ceilings.walBytes)
    expect.soft(found.indexEntries).toBeLessThanOrEqual(ceilings.indexEntries)
    expect.soft(found.diskBytes).toBeLessThanOrEqual(ceilings.diskBytes)
    // A job has a row and a history. Less than this means that nothing was measured.
    expect(found.walBytes).toBeGreaterThan(500)
    expect(found.indexEntries).toBeGreaterThan(1)
    expect(found.diskBytes).toBeGreaterThan(300)
  })

  it('for a job of a hundred ordering keys stays below its ceilings too', async () => {
    await using scene = await openPrivateScene(server!.url, 'written')
    const found = await measure(scene, keyed)
    expect.soft(found.walBytes).toBeLessThanOrEqual(ceilings.walBytesOfKeys)
    expect.soft(found.indexEntries).toBeLessThanOrEqual(ceilings.indexEntriesOfKeys)
    expect(found.indexEntries).toBeGreaterThan(1)
  })

  it('while a worker of 100 queues is idle stays below its ceiling of commits', async () => {
    await using scene = await openPrivateScene(server!.url, 'idle')
    const handlers = Array.from({ length: 100 }, (_, at) =>
      handle(defineJob({ name: `idle.${at}`, queue: `idle${at}` }), () => {}),
    )
    const worker = scene.errand.work({ concurrency: 50, handlers }, { signals: false })
    await worker.ready
    // Waits for the first acts of a worker, and for statistics, which sessions report once a second.
    await sleep(3_000)
    const before = await countCommits(scene)
    const seconds = 8
    await sleep(1_000 * seconds)
    const perSecond = ((await countCommits(scene)) - before) / seconds
    expect(perSecond).toBeLessThanOrEqual(ceilings.idleCommits)
    // At least it beats.
    expect(perSecond).toBeGreaterThan(0)
    await worker.stop()
  })

  it('while a fleet with 10,000 schedules is idle is at most one statement for them in a second', async () => {
    const schedules = Array.from({ length: 5_000 }, (_, at) =>
      defineSchedule({ name: `declared-${at}`, job: plain, every: '1d', from: inHalfADay }),
    )
    await using scene = await openPrivateScene(server!.url, 'schedules')
    await scene.errand.schedules.set({ name: 'set-0', job: plain, every: '1d', from: inHalfADay }, 'the test')
    await scene.ask(`insert into schedules.schedules (name, revision, due_at, job, declared, body)
      select 'set-' || n, 1, due_at, job, declared, body
        from schedules.schedules, generate_series(1, 4999) n where name = 'set-0'`)
    const calls: string[] = []
    const errand = createErrand({
      log: countScheduleCalls(logFromUrl(`${server!.url}?schema=schedules`), calls),
      logger: quietLogger,
    })
    const definition = { handlers: [handle(plain, () => {})], schedules }
    const fleet = [1, 2, 3].map(() => errand.work(definition, { signals: false }))
    await Promise.all(fleet.map((worker) => worker.ready))
    const count = (): Promise<string> => scene.ask('select count(*) from schedules.schedules')
    await until(async () => (await count()) === '10000', { what: 'all are declared' })
    // The workers that came second look once more, find all as it is, and sweep.
    await until(() => calls.filter((call) => call === 'readSchedules').length >= 3 && calls.includes('sweep'))
    calls.length = 0
    const seconds = 8
    await sleep(1_000 * seconds)
    expect(calls.filter((call) => call === 'sweep').length).toBeGreaterThan(seconds / 2)
    const forSchedules = calls.filter((call) => call !== 'sweep').length
    expect(forSchedules / seconds).toBeLessThanOrEqual(ceilings.idleSchedules)
    await errand.close()
  })
})

/** The same log, and which calls of it were made. A sweep looks at schedules in its own statement. */
function countScheduleCalls(factory: LogFactory, calls: string[]): LogFactory {
  return {
    ...factory,
    open(context) {
      const log = factory.open(context)
      return {
        ...log,
        sweep: (options) => (calls.push('sweep'), log.sweep(options)),
        readSchedules: (names) => (calls.push('readSchedules'), log.readSchedules(names)),
        saveSchedules: (changes) => (calls.push('saveSchedules'), log.saveSchedules(changes)),
      }
    },
  }
}

/** Bytes of the log, entries of indexes, and bytes of disk for each job of this kind. */
async function measure(scene: PrivateScene, kind: typeof job): Promise<Written> {
  const { errand, ask } = scene
  await ask('create extension if not exists pg_walinspect')
  // Pages and connections that only the first jobs need.
  await runJobs(errand, kind, batch)
  const [from, diskBefore] = [await findPlace(scene), await measureDisk(scene)]
  await runJobs(errand, kind, jobs)
  const [to, diskAfter] = [await findPlace(scene), await measureDisk(scene)]
  const entries = await ask(
    `select sum(count) from pg_get_wal_stats('${from}', '${to}', true)
      where "resource_manager/record_type" ~ '${insertions}'`,
  )
  return {
    walBytes: Number(await ask(`select pg_wal_lsn_diff('${to}', '${from}')`)) / jobs,
    indexEntries: Number(entries) / jobs,
    diskBytes: (diskAfter - diskBefore) / jobs,
  }
}

async function runJobs(errand: Errand, kind: typeof job, count: number): Promise<void> {
  for (let at = 0; at < count; at += batch)
    await errand.dispatchMany(Array.from({ length: batch }, (_, index) => kind.with({ index, text })))
  let ran = 0
  const handler = handle(kind, () => void (ran += 1))
  const worker = errand.work({ concurrency: 50, handlers: [handler] }, { signals: false })
  await until(() => ran === count, { what: 'all jobs have run', withinMs: 60_000 })
  await worker.stop()
}

/** A place in the server's log, up to which all of it can be read. */
async function findPlace({ ask }: PrivateScene): Promise<string> {
  await ask(`select pg_logical_emit_message(true, 'test', '')`)
  return ask('select pg_current_wal_flush_lsn()')
}

async function measureDisk({ ask }: PrivateScene): Promise<number> {
  const tables = `select sum(pg_total_relation_size(oid)) from pg_class
                   where relkind = 'r' and relnamespace = 'written'::regnamespace`
  return Number(await ask(tables))
}

async function countCommits({ ask }: PrivateScene): Promise<number> {
  await ask('select pg_stat_clear_snapshot()')
  return Number(await ask(`select xact_commit from pg_stat_database where datname = 'postgres'`))
}
