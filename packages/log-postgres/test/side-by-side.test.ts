import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { createErrand, defineJob, fixed, handle } from '@errand/core'
import type { Errand } from '@errand/core'
import { systemClock } from '@errand/core/ports'
import type { EventRecord, JobLog, LogFactory } from '@errand/core/ports'
import {
  checkHistory,
  describeViolations,
  quietLogger,
  readDispatched,
  readHistory,
  until,
} from '@errand/testkit'
import { postgres } from '@errand/log-postgres'
import { openPostgresLog } from '../src/log.ts'
import { release } from '../src/migrations/release.ts'
import type { Release } from '../src/migrations/release.ts'
import { resolveOptions } from '../src/options.ts'
import { openStage, url } from './stage.ts'
import type { Stage } from './stage.ts'

interface Payload {
  readonly n: number
}
const validate = (value: unknown) => ({ value: value as Payload })
const types = undefined as unknown as { readonly input: Payload; readonly output: Payload }
const payload = { '~standard': { version: 1, vendor: 'test', validate, types } } as const

const replaced = (text: string, from: string, to: string): string => {
  expect(text).toContain(from)
  return text.replaceAll(from, to)
}

/** The build after this one: a column more, which its rules write and show, and another parameter of a function. */
const next: Release = {
  version: 2,
  migrations: () => [
    ...release.migrations(),
    {
      version: 2,
      name: 'who granted',
      oldestCode: 1,
      tables: 'alter table errand.live add column granted_by text;',
    },
  ],
  rules: () => {
    const granting = replaced(
      release.rules(),
      'set state = 4 /* running */, run = l.run + 1,',
      `set state = 4 /* running */, granted_by = 'second', run = l.run + 1,`,
    )
    const telling = replaced(
      granting,
      'returning l.ctid as place,',
      'returning l.ctid as place, l.granted_by,',
    )
    return replaced(
      telling,
      'p_worker, p_data\n',
      `p_worker, left(p_data, -1) || ',"grantedBy":"' || (select max(o.granted_by) from granted o) || '"}'\n`,
    )
  },
}

/** The build after that: it does without the first one, and without its rules. */
const last: Release = {
  ...next,
  version: 3,
  migrations: () => [...next.migrations(), { version: 3, name: 'only rules', oldestCode: 2 }],
}

describe.skipIf(url === undefined)('two builds beside each other', () => {
  let stage: Stage
  beforeEach(() => {
    stage = openStage()
  })
  afterEach(() => stage.close())

  const makeOptions = () => ({ url: stage.url, schema: stage.schema, poolSize: 3 })
  const open = (build: Release): JobLog => {
    const log = openPostgresLog(
      resolveOptions(makeOptions()),
      { logger: quietLogger, clock: systemClock },
      build,
    )
    onTestFinished(() => log.close())
    return log
  }
  const openErrand = (build: Release): Errand => {
    const log: LogFactory = {
      ...postgres(makeOptions()),
      open: (context) => openPostgresLog(resolveOptions(makeOptions()), context, build),
    }
    const errand = createErrand({ log, driver: 'database', logger: quietLogger })
    onTestFinished(() => errand.close())
    return errand
  }
  const listVersions = async (rule: string): Promise<unknown[]> =>
    (
      await stage.sql(
        `select p.proname as name from pg_proc p
          where p.pronamespace = '${stage.schema}'::regnamespace and p.proname like '${rule}%' order by 1`,
      )
    ).map(({ name }) => name)

  it('an old worker and a new one finish what was in flight when the log was migrated, each job once', async () => {
    const count = 200
    const plain = defineJob({ name: 'beside.plain', queue: 'beside', payload })
    const ordered = defineJob({
      name: 'beside.ordered',
      queue: 'beside',
      payload,
      order: { key: ({ n }) => `k${n % 7}` },
      retry: { attempts: 3, backoff: fixed('1ms') },
    })
    const ended: number[] = []
    const failedOnce = new Set<number>()
    const running = new Set<number>()
    const run = async ({ n }: { n: number }): Promise<void> => {
      running.add(n)
      await new Promise((resolve) => setTimeout(resolve, 5))
      running.delete(n)
      if (n % 10 === 0 && !failedOnce.has(n)) {
        failedOnce.add(n)
        throw new Error('once')
      }
      ended.push(n)
    }
    const work = (errand: Errand) => {
      const worker = errand.work(
        { handlers: [handle(plain, run), handle(ordered, run)], concurrency: 8 },
        { signals: false },
      )
      onTestFinished(() => worker.stop())
      return worker
    }
    let sent = 0
    const dispatch = async (errand: Errand): Promise<void> => {
      const from = sent
      sent += count
      for (let n = from; n < from + count; n++) await errand.dispatch(n % 2 === 0 ? ordered : plain, { n })
    }

    const old = openErrand(release)
    await old.migrate()
    await dispatch(old)
    const oldWorker = work(old)
    await until(() => running.size > 0 && ended.length > 0, { what: 'the old worker is at work' })

    const young = openErrand(next)
    expect(await young.migrate()).toMatchObject({ from: 1, to: 2 })
    expect(ended.length).toBeLessThan(count)
    work(young)
    await Promise.all([dispatch(old), dispatch(young)])
    await until(() => ended.length === sent, { what: 'every job ended' })
    // The fleet is the new build's now.
    await oldWorker.stop()
    await dispatch(young)
    await until(() => ended.length === sent, { what: 'the new worker ended the rest' })

    expect(ended.toSorted((a, b) => a - b)).toEqual(Array.from({ length: sent }, (_, n) => n))
    const log = open(next)
    // Every end is on record, and no older transaction of another test is open any more.
    const isSettled = async (): Promise<EventRecord[] | undefined> => {
      const [{ left }] = (await stage.sql('select count(*)::integer as left from errand.live')) as [
        { left: number },
      ]
      const [{ written }] = (await stage.sql(
        'select count(*)::integer as written from errand.job_events',
      )) as [{ written: number }]
      if (left > 0) return undefined
      const read = await readHistory(log)
      return read.length === written ? read : undefined
    }
    const events = await until(isSettled, { what: 'every end can be read' })
    expect(describeViolations(checkHistory({ events, dispatched: await readDispatched(log) }))).toBe('')
    const of = (type: string) => events.filter((event) => event.type === type)
    expect(of('succeeded')).toHaveLength(sent)
    expect([...of('lost'), ...of('fenced'), ...of('failed')]).toEqual([])
    // Each build called its own rules, before and after.
    const migrated = events.findIndex(({ data }) => (data as { grantedBy?: string }).grantedBy === 'second')
    const later = events.slice(migrated).filter(({ type }) => type === 'started')
    const byNew = later.filter(({ data }) => (data as { grantedBy?: string }).grantedBy === 'second')
    expect(byNew.length).toBeGreaterThan(0)
    expect(later.length - byNew.length, 'the old worker went on').toBeGreaterThan(0)
    expect(await listVersions('claim')).toEqual(['claim_v1', 'claim_v2'])
  })

  it('a new build waits for the migration, and says so', async () => {
    await open(release).migrate()
    await expect(open(next).connect()).rejects.toMatchObject({
      code: 'E_LOG_VERSION',
      message: expect.stringMatching(/version 1, and this code needs 2; run: errand migrate/) as string,
    })
  })

  it('a build that is too old for the log is told so before it calls a rule that is not there', async () => {
    const tooOld = {
      code: 'E_LOG_VERSION',
      message: expect.stringMatching(/code of version 2 and later can use; this one is 1: update/) as string,
    }
    // It never had the rules of the first build.
    expect(await open(next).migrate()).toEqual({ from: 0, to: 2 })
    await expect(open(release).connect()).rejects.toMatchObject(tooOld)
    expect(await open(release).migrate()).toEqual({ from: 2, to: 2 })
    expect(await listVersions('claim')).toEqual(['claim_v2'])
  })

  it('rules stay as long as a build may call them, and no longer', async () => {
    await open(release).migrate()
    await open(next).migrate()
    await stage.sql('create function errand.report_v1() returns integer language sql return 1')
    expect(await open(last).migrate()).toEqual({ from: 2, to: 3 })
    expect(await listVersions('claim')).toEqual(['claim_v2', 'claim_v3'])
    expect(await listVersions('%_v1')).toEqual(['report_v1'])
    await open(next).connect()
    await expect(open(release).connect()).rejects.toMatchObject({ code: 'E_LOG_VERSION' })
  })
})
