import { describe, expect, inject, it, onTestFinished } from 'vitest'
import { randomUUID } from 'node:crypto'
import { Client } from 'pg'
import { createErrand, defineJob } from '@errand/core'
import { systemClock } from '@errand/core/ports'
import type { JobLog } from '@errand/core/ports'
import { postgres } from '@errand/log-postgres'
import { newJob, quietLogger, scaleLimit, startFaultProxy, until } from '@errand/testkit'
import type { FaultProxy } from '@errand/testkit'
import { lasts } from '../fleet/looks.ts'
import { makeLog } from '../fleet/shared.ts'
import { withParameters } from '../fleet/urls.ts'

const server = inject('postgres')
/** The same limit as after every other fault, once the network carries new connections. */
const backMs = 10_000

describe.skipIf(server === undefined)('a network that tells nobody', () => {
  interface Scene {
    readonly url: string
    readonly proxy: FaultProxy
  }
  async function scene(): Promise<Scene> {
    const { hostname, port } = new URL(server!)
    const proxy = await startFaultProxy({ host: hostname, port: Number(port || 5432) })
    onTestFinished(() => proxy.close())
    return { url: proxy.url(withParameters(makeLog('postgres'), { poolSize: '10' })), proxy }
  }
  const open = (url: string, options = {}): JobLog => {
    const log = postgres({ url, ...options }).open({ logger: quietLogger, clock: systemClock })
    onTestFinished(() => log.close())
    return log
  }
  /** Connections at a time: jobs with different keys do not wait for each other. */
  const store = (log: JobLog, count: number) =>
    Promise.all(
      Array.from({ length: count }, () =>
        log.append([newJob({ ordering: { key: randomUUID(), onFailure: 'block' } })]),
      ),
    )

  it('ten idle connections are forgotten: jobs are stored again within ten seconds, and none twice', async () => {
    const { url, proxy } = await scene()
    const log = open(url)
    await log.migrate()
    await store(log, 10)
    await until(() => proxy.connections >= 10)
    proxy.forget()
    const sinceMs = performance.now()
    const jobs = Array.from({ length: 20 }, () => newJob({ queue: 'after' }))
    for (const job of jobs) expect(await log.append([job])).toMatchObject([{ status: 'added' }])
    expect(performance.now() - sinceMs).toBeLessThan(scaleLimit(backMs))
    expect(await log.list({ queue: 'after' }, { limit: 100 })).toHaveLength(20)
  })

  it('a statement that waits is left alone; one whose answer was lost is sent again, and stored once', async () => {
    const { url, proxy } = await scene()
    const log = open(url)
    await log.migrate()
    const schema = new URL(url).searchParams.get('schema') ?? ''
    const [blocker, watcher] = [
      new Client({ connectionString: server }),
      new Client({ connectionString: server }),
    ]
    for (const client of [blocker, watcher]) {
      await client.connect()
      onTestFinished(() => client.end())
    }
    // Not on the connection that blocks: in a transaction PostgreSQL shows the sessions as they were at the first look.
    const waiting = async (): Promise<readonly number[]> => {
      const { rows } = await watcher.query<{ pid: number }>(
        `select pid from pg_stat_activity where wait_event_type = 'Lock' and query like $1 order by pid`,
        [`%${schema}%`],
      )
      return rows.map(({ pid }) => pid)
    }
    await blocker.query(`begin; lock table ${schema}.jobs in access exclusive mode`)
    const job = newJob({ queue: 'swallowed' })
    const storing = log.append([job])
    await until(async () => (await waiting()).length === 1)
    const [pid] = await waiting()
    await lasts(5_000)
    expect(await waiting()).toEqual([pid])

    proxy.forget()
    await blocker.query('commit')
    const sinceMs = performance.now()
    expect(await storing).toMatchObject([{ id: job.id }])
    expect(performance.now() - sinceMs).toBeLessThan(scaleLimit(backMs))
    expect(await log.list({ queue: 'swallowed' }, { limit: 10 })).toHaveLength(1)
  })

  it('behind a pooler, whose backends nobody knows, what was idle is asked before anything is sent there', async () => {
    const { url, proxy } = await scene()
    const log = open(url, { listen: false, preparedStatements: false })
    await log.migrate()
    await store(log, 3)
    await lasts(2_500)
    proxy.forget()
    const sinceMs = performance.now()
    // All or nothing, so it is never repeated. If it was sent to a dead connection, its result is unknown.
    const jobs = [newJob({ queue: 'after' }), newJob({ queue: 'after' })]
    expect(await log.append(jobs, { atomic: true })).toMatchObject([{ status: 'added' }, { status: 'added' }])
    expect(performance.now() - sinceMs).toBeLessThan(scaleLimit(backMs))
  })

  it('a dispatch that was not sent says that nothing is stored; one that was sent says that nobody knows', async () => {
    const { url, proxy } = await scene()
    await open(url).migrate()
    const errand = createErrand({ log: `${url}&statementTimeout=500`, logger: quietLogger })
    onTestFinished(() => errand.close())
    const job = defineJob({ name: 'told' })
    await errand.dispatch(job, undefined)
    proxy.refuse()
    proxy.cut()
    // Its connection may not have noticed yet. Then the statement was sent.
    await expect(errand.dispatch(job, undefined)).rejects.toThrow(/job log/)
    const refused = await errand.dispatch(job, undefined).catch((thrown: unknown) => thrown)
    expect(refused).toMatchObject({ code: 'E_LOG_UNREACHABLE', ids: [expect.any(String)] })
    proxy.heal()
    await errand.dispatch(job, undefined)
    proxy.blackHole('down')
    const swallowed = await errand.dispatch(job, undefined).catch((thrown: unknown) => thrown)
    expect(swallowed).toMatchObject({ code: 'E_DISPATCH_UNKNOWN', ids: [expect.any(String)] })
    proxy.heal()
    const again = await errand.dispatch(job, undefined, { id: (swallowed as { ids: string[] }).ids[0] })
    expect(again.status).toBe('duplicate')
  })
})
