import { randomUUID } from 'node:crypto'
import { setTimeout } from 'node:timers/promises'
import { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import type { HeartbeatLog } from '@errand/core/ports'
import {
  checkHistory,
  newJob,
  outcomes,
  settlement,
  startFaultProxy,
  until,
  workerRef,
} from '@errand/testkit'
import { openStage, url } from './stage.ts'

describe.skipIf(url === undefined)('lost connections', () => {
  const name = `errand_${randomUUID().slice(0, 8)}`
  const stage = openStage()
  const named = new URL(stage.url)
  named.searchParams.set('application_name', name)
  const log = stage.open({ url: named.href })
  beforeAll(async () => void (await log.migrate()))
  afterAll(() => stage.close())

  /** Ends every connection of the log under test. */
  const killAll = async (): Promise<number> => {
    const killed = await stage.sql(
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1`,
      [name],
    )
    return killed.length
  }
  /** Asks again while the log cannot be reached, as core does: with the same ids and the same request. */
  let answers = 0
  const insist = <T>(ask: () => Promise<T>): Promise<T> =>
    until(
      async () => {
        try {
          const answer = await ask()
          answers += 1
          return { answer }
        } catch (error) {
          if ((error as { code?: string }).code !== 'E_LOG_UNREACHABLE') throw error
          return undefined
        }
      },
      { withinMs: 20_000 },
    ).then(({ answer }) => answer)

  it('backends that are killed in the middle lose no job and run none twice', async () => {
    const queue = 'killed'
    const by = workerRef({ leaseMs: 120_000 })
    await log.beat(by, { queues: [queue], taking: true, progress: [] })
    const jobs = Array.from({ length: 300 }, (_, index) =>
      newJob({ queue, ...(index % 3 ? {} : { ordering: { key: `k${index % 5}`, onFailure: 'block' } }) }),
    )
    // After every few answers, whatever the log does at that moment.
    let killed = 0
    const kills = new AbortController()
    onTestFinished(() => kills.abort())
    const killer = (async () => {
      for (let next = 3; !kills.signal.aborted; next = answers + 3) {
        await until(() => answers >= next || kills.signal.aborted, { withinMs: 100_000 })
        killed += await killAll()
      }
    })()
    const dispatching = (async () => {
      for (let at = 0; at < jobs.length; at += 20) await insist(() => log.append(jobs.slice(at, at + 20)))
    })()
    const done = new Set<string>()
    while (done.size < jobs.length) {
      const request = randomUUID()
      const claims = await insist(() => log.take([queue], 10, by, request))
      const outcome = claims.map((claim) => settlement(claim, outcomes.succeed()))
      for (const { id, result } of await insist(() => log.settle(outcome, by))) {
        expect(result).not.toBe('claim-lost')
        done.add(id)
      }
      await insist(() => log.passNotes(100))
    }
    await dispatching
    kills.abort()
    await killer
    expect(killed).toBeGreaterThan(5)
    const events = (await Promise.all(jobs.map(({ id }) => log.readHistory(id)))).flat()
    expect(checkHistory({ events, dispatched: jobs.map(({ id }) => ({ id, onFailure: 'block' })) })).toEqual(
      [],
    )
    expect(events.filter(({ type }) => type === 'succeeded')).toHaveLength(jobs.length)
  })

  it('a listener that lost its connection listens again, and is woken: it may have missed something', async () => {
    const stop = new AbortController()
    const heard: string[] = []
    const listening = (async () => {
      for await (const topic of log.wakeups(['queue:a', 'events'], stop.signal)) heard.push(topic)
    })()
    await until(() => heard.includes('started'))
    heard.length = 0
    await killAll()
    await until(() => heard.includes('queue:a') && heard.includes('events'))
    heard.length = 0
    const other = stage.open()
    await until(async () => {
      await other.notify(['queue:a'])
      return heard.includes('queue:a')
    })
    stop.abort()
    await listening
  })

  it('after a quiet time only a statement that must not run twice asks whether its connection still works', async () => {
    const { hostname, port } = new URL(stage.url)
    const proxy = await startFaultProxy({ host: hostname, port: Number(port || 5432) })
    onTestFinished(() => proxy.close())
    const quiet = stage.open({ url: proxy.url(stage.url), poolSize: 1 })
    const sent = async (ask: () => Promise<unknown>): Promise<number> => {
      const before = proxy.passed.up
      await ask()
      return proxy.passed.up - before
    }
    const [by, queue] = [workerRef({ leaseMs: 120_000 }), 'quiet']
    await log.beat(by, { queues: [queue], taking: true, progress: [] })
    const take = (): Promise<unknown> => quiet.take([queue], 1, by, randomUUID())
    const append = (): Promise<unknown> => quiet.append([newJob({ queue })])
    const measure = async (): Promise<readonly number[]> => [await sent(take), await sent(append)]
    // The first ones connect, and prepare the statements.
    await append()
    await measure()
    const [takeBusy = 0, appendBusy = 0] = await measure()
    const quietMs = 2_100
    await setTimeout(quietMs)
    expect(await sent(take)).toBeLessThanOrEqual(takeBusy)
    await setTimeout(quietMs)
    expect(await sent(append)).toBeGreaterThan(appendBusy)
    // A network has forgotten the connection: the answer comes through another one.
    proxy.forget()
    expect(await quiet.take([queue], 1, by, randomUUID())).toHaveLength(1)
  })

  it('those who come and go on many topics at once ask one after another, as pg wants it', async () => {
    const warnings: Error[] = []
    const note = (warning: Error): void => void warnings.push(warning)
    process.on('warning', note)
    onTestFinished(() => void process.off('warning', note))
    const stop = new AbortController()
    const stay = log.wakeups(['queue:stay'], stop.signal)[Symbol.asyncIterator]()
    expect(await stay.next()).toMatchObject({ value: 'started' })
    const comeAndGo = async (topic: string): Promise<void> => {
      const leave = new AbortController()
      const topics = log.wakeups([`queue:${topic}`], leave.signal)[Symbol.asyncIterator]()
      expect(await topics.next()).toMatchObject({ value: 'started' })
      leave.abort()
      expect(await topics.next()).toMatchObject({ done: true })
    }
    await Promise.all(Array.from({ length: 10 }, (_, index) => comeAndGo(`topic-${index % 7}`)))
    stop.abort()
    await stay.next()
    expect(warnings).toEqual([])
  })

  it('a statement that outlives its deadline is given up, and the log goes on when it can', async () => {
    const hasty = stage.open({ statementTimeout: 300 })
    await hasty.connect()
    const [client, job] = [await stage.client(), newJob()]
    await client.query(`begin; lock table ${stage.schema}.jobs in access exclusive mode`)
    await expect(hasty.append([job])).rejects.toMatchObject({ code: 'E_LOG' })
    await client.query('commit')
    expect(await hasty.append([job])).toMatchObject([{ id: job.id, status: 'added' }])
  })

  it('jobs that are stored without waiting for each other keep the order of the calls', async () => {
    const busy = stage.open({ poolSize: 4 })
    // More than are sent over one connection before it is given back.
    const jobs = Array.from({ length: 200 }, () => newJob({ queue: 'in-line' }))
    await Promise.all(jobs.map((job) => busy.append([job])))
    const stored = await stage.sql(`select id from errand.jobs where queue = 'in-line' order by seq`)
    expect(stored.map(({ id }) => id)).toEqual(jobs.map(({ id }) => id))
  })

  it('of statements in line behind one that hangs none is carried out late, and the next line goes on', async () => {
    const hasty = stage.open({ statementTimeout: 300 })
    await hasty.connect()
    const [client, jobs] = [await stage.client(), [newJob(), newJob(), newJob()]]
    await client.query(`begin; lock table ${stage.schema}.jobs in access exclusive mode`)
    const refused = await Promise.allSettled(jobs.map((job) => hasty.append([job])))
    expect(refused.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
    await client.query('commit')
    const stored = await Promise.all(jobs.map((job) => hasty.append([job])))
    expect(stored.map(([answer]) => answer?.status)).toEqual(['added', 'added', 'added'])
  })

  it('statements in line to a server that has gone silent are given up, all at their deadlines', async () => {
    const { hostname, port } = new URL(stage.url)
    const proxy = await startFaultProxy({ host: hostname, port: Number(port || 5432) })
    onTestFinished(() => proxy.close())
    const hasty = stage.open({ url: proxy.url(stage.url), statementTimeout: 300 })
    await hasty.connect()
    await hasty.append([newJob()])
    proxy.blackHole()
    const lost = await Promise.allSettled([hasty.append([newJob()]), hasty.append([newJob()])])
    expect(lost).toMatchObject([
      { reason: { code: 'E_LOG_UNREACHABLE' } },
      { reason: { code: 'E_LOG_UNREACHABLE' } },
    ])
    proxy.heal()
    expect(await hasty.append([newJob()])).toMatchObject([{ status: 'added' }])
  })

  it('a line whose backend is killed in the middle stores what was sent once', async () => {
    const jobs = Array.from({ length: 100 }, () => newJob({ queue: 'cut-line' }))
    const storing = Promise.all(jobs.map((job) => insist(() => log.append([job]))))
    await killAll()
    await storing
    const stored = await stage.sql(`select count(*)::int as count from errand.jobs where queue = 'cut-line'`)
    expect(stored).toEqual([{ count: 100 }])
  })

  it('a server whose connections are all in use is waited for', async () => {
    const user = `${name}_one`
    const own = new URL(stage.url)
    own.username = user
    own.password = 'one'
    const { schema } = stage
    await stage.sql(
      `create role ${user} login password 'one' connection limit 1;
       grant usage on schema ${schema} to ${user};
       grant all on all tables in schema ${schema} to ${user};
       grant all on all sequences in schema ${schema} to ${user}`,
    )
    onTestFinished(async () => void (await stage.sql(`drop owned by ${user}; drop role ${user}`)))
    const connect = async (): Promise<Client> => {
      const client = new Client({ connectionString: own.href })
      await client.connect()
      return client
    }
    const crowded = stage.open({ url: own.href, poolSize: 1, listen: false })
    const first = await connect()
    const appending = crowded.append([newJob()])
    // So often that the log, which had asked before, was refused more than once.
    for (let refused = 0; refused < 5; refused++)
      await expect(connect()).rejects.toMatchObject({ code: '53300' })
    await first.end()
    expect(await appending).toMatchObject([{ status: 'added' }])
    await crowded.close()
  })

  it('behind a pooler: no LISTEN and no named statements, and everything works by polling', async () => {
    const pooledName = `${name}_pooled`
    const pooled = stage.open({
      url: named.href.replace(name, pooledName),
      listen: false,
      preparedStatements: false,
      poolSize: 1,
    })
    const by = workerRef()
    await pooled.beat(by, { queues: ['pooled'], taking: true, progress: [] })
    const job = newJob({ queue: 'pooled' })
    await pooled.append([job])
    const [claim] = await pooled.take(['pooled'], 1, by, randomUUID())
    expect(await pooled.settle([settlement(claim!, outcomes.succeed())], by)).toMatchObject([
      { result: 'settled' },
    ])
    const stop = new AbortController()
    const topics = pooled.wakeups(['queue:pooled'], stop.signal)[Symbol.asyncIterator]()
    expect(await topics.next()).toEqual({ done: false, value: 'started' })
    stop.abort()
    expect(await topics.next()).toMatchObject({ done: true })
    const statements = await stage.sql(
      `select count(*)::int as n from pg_stat_activity
        where application_name = $1 and (query ilike 'listen%' or state is null)`,
      [pooledName],
    )
    expect(statements).toEqual([{ n: 0 }])
  })

  it('the heartbeat opens the log on its own, from what crosses to another thread', async () => {
    const { postgres } = await import('@errand/log-postgres')
    const { heartbeat } = postgres({ url: stage.url, schema: stage.schema })
    const { openHeartbeat } = (await import(heartbeat!.module)) as {
      readonly openHeartbeat: (data: unknown) => HeartbeatLog
    }
    const beats = openHeartbeat(structuredClone(heartbeat!.data))
    const by = workerRef()
    expect(await beats.beat(by, { queues: ['q'], taking: true, progress: [] })).toEqual({
      claims: [],
      paused: [],
      stop: false,
    })
    expect((await log.workers()).map(({ id }) => id)).toContain(by.id)
    await beats.close()
  })
})
