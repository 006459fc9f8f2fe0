import { createErrand, defineJob } from '@errand/core'
import { systemClock } from '@errand/core/ports'
import { logFromUrl } from './services/logs.ts'
import { quietLogger, until } from '@errand/testkit'
import { describe, expect, inject, onTestFinished, test } from 'vitest'
import type { TestContext } from 'vitest'
import { ordered } from './fleet/app/jobs.ts'
import { allEnded } from './fleet/looks.ts'
import { startWorker } from './fleet/member.ts'
import { makeLog, makeFolder } from './fleet/shared.ts'
import { sceneOn } from './fleet/scene.ts'
import { startPgBouncer } from './services/pgbouncer.ts'
import type { PgBouncer, PgBouncerOptions } from './services/pgbouncer.ts'

const postgres = inject('postgres')
const context = { clock: systemClock, logger: quietLogger }
const forTransactions = { listen: 'false', preparedStatements: 'false' }

/** The URL of a log behind a pooler, and that of the same log without it. */
interface Pooled {
  readonly pooler: PgBouncer
  readonly url: (parameters?: Readonly<Record<string, string>>) => string
  readonly direct: string
}

/** Skips the test, and says so, if there is no PgBouncer. */
async function pooled(test: TestContext, options: Omit<PgBouncerOptions, 'url'>): Promise<Pooled> {
  const pooler = await startPgBouncer({ url: postgres!, ...options })
  if (!pooler) return test.skip('PgBouncer is missing, and cannot be had')
  onTestFinished(() => pooler.stop())
  const direct = makeLog('postgres')
  return {
    pooler,
    direct,
    url(parameters = {}) {
      const url = new URL(direct)
      const { username, port } = new URL(pooler.url)
      Object.assign(url, { hostname: '127.0.0.1', port, username, password: '' })
      for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value)
      return url.href
    },
  }
}

/** From this version on PgBouncer follows prepared statements from one server connection to another. */
function followsStatements({ version }: PgBouncer): boolean {
  const [, major = 0, minor = 0] = /(\d+)\.(\d+)/.exec(version)?.map(Number) ?? []
  return major > 1 || minor >= 21
}

describe.skipIf(postgres === undefined)('behind PgBouncer', () => {
  test.for(['transaction', 'session'] as const)(
    'in %s mode, without options: the first call names those of either mode',
    async (mode, test) => {
      const { url } = await pooled(test, { mode })
      const errand = createErrand({ log: url(), logger: quietLogger })
      onTestFinished(() => errand.close())
      await expect(errand.migrate()).rejects.toMatchObject({
        code: 'E_LOG_UNREACHABLE',
        message: expect.stringMatching(
          /unsupported startup parameter: \w+.*\?listen=false&preparedStatements=false.*ignore_startup_parameters = statement_timeout, options/,
        ),
      })
    },
  )

  test('in transaction mode without startup parameters, the error about prepared statements says what to do', async (test) => {
    const settings = ['ignore_startup_parameters = statement_timeout, options', 'default_pool_size = 3']
    const { url, direct, pooler } = await pooled(test, { mode: 'transaction', settings })
    const migrated = logFromUrl(direct).open(context)
    onTestFinished(() => migrated.close())
    await migrated.migrate()
    const told = new Set<string>()
    const codes = new Set<string>()
    const tell = (error: Error & { code: string }): void => {
      codes.add(error.code)
      told.add(error.message)
    }
    // One process meets only one refusal, and repeats it on another connection. Two processes disturb each other all the time.
    const logs = [1, 2].map(() => logFromUrl(url()).open(context))
    onTestFinished(async () => void (await Promise.all(logs.map((log) => log.close()))))
    const ask = (): Promise<unknown> =>
      Promise.all(
        Array.from({ length: 30 }, (_, n) => {
          const log = logs[n % 2]!
          return (
            n % 3 === 0 ? log.queues() : n % 3 === 1 ? log.workers() : log.get(crypto.randomUUID())
          ).catch(tell)
        }),
      )
    if (followsStatements(pooler)) {
      for (let round = 0; round < 20; round += 1) await ask()
      expect(told).toEqual(new Set())
      return
    }
    await until(async () => {
      await ask()
      return told.size > 0
    })
    expect([...codes]).toEqual(['E_LOG_UNREACHABLE'])
    for (const message of told)
      expect(message).toMatch(
        /does not keep prepared statements \(prepared statement "errand_\w+" (?:already exists|does not exist)\).*\?listen=false&preparedStatements=false/,
      )
  })

  test('in transaction mode, with the two options: worker processes keep every promise', async (test) => {
    const { url } = await pooled(test, { mode: 'transaction', settings: ['default_pool_size = 5'] })
    const { errand, log, env, violations } = await sceneOn(url(forTransactions), makeFolder())
    await Promise.all([startWorker(env), startWorker(env)])
    await errand.dispatchMany(
      Array.from({ length: 300 }, (_, n) =>
        ordered.with({ n, key: `key-${n % 20}`, failures: n % 9 === 0 ? 1 : 0, ms: 0 }),
      ),
    )
    await allEnded(log, 60_000)
    expect(await violations()).toBe('')
    const last = await errand.dispatch(ordered, { n: 300, key: 'key-0', failures: 0, ms: 0 })
    await errand.result(last)
  })

  test('in session mode, where startup parameters are ignored: wake-ups come, and all else works', async (test) => {
    const settings = ['ignore_startup_parameters = statement_timeout, options']
    const { url, direct } = await pooled(test, { mode: 'session', settings })
    const [log, elsewhere] = [logFromUrl(url()).open(context), logFromUrl(direct).open(context)]
    onTestFinished(async () => void (await Promise.all([log.close(), elsewhere.close()])))
    await log.migrate()
    const stop = new AbortController()
    onTestFinished(() => stop.abort())
    const wakeups = log.wakeups(['queue:mail'], stop.signal)[Symbol.asyncIterator]()
    expect(await wakeups.next()).toMatchObject({ value: 'started' })
    await elsewhere.notify(['queue:mail'])
    expect(await wakeups.next()).toMatchObject({ value: 'queue:mail' })
  })

  test('in session mode, with listen=false alone: nothing of the pooler has to be set', async (test) => {
    const { url } = await pooled(test, { mode: 'session' })
    const errand = createErrand({ log: url({ listen: 'false', migrate: 'true' }), logger: quietLogger })
    onTestFinished(() => errand.close())
    const { id } = await errand.dispatch(defineJob({ name: 'pooled' }))
    expect(await errand.jobs.get(id)).toMatchObject({ state: 'ready' })
  })
})
