import { describe, expect, it, onTestFinished } from 'vitest'
import { systemClock } from '@errand/core/ports'
import type { HeartbeatLog, JobLog } from '@errand/core/ports'
import { postgres } from '@errand/log-postgres'
import type { PostgresOptions } from '@errand/log-postgres'
import { newJob, quietLogger, scaleLimit, until, workerRef } from '@errand/testkit'
import { canHavePairs, sql, startPair } from './pair.ts'

const context = { logger: quietLogger, clock: systemClock }
/** The same limit as after every other fault. */
const backMs = 10_000

function open(options: PostgresOptions): JobLog {
  const log = postgres(options).open(context)
  onTestFinished(() => log.close())
  return log
}

/** Asks until it is answered, as core does. Returns how long that took, in ms. */
async function back(ask: () => Promise<unknown>): Promise<number> {
  const sinceMs = performance.now()
  const answered = async (): Promise<boolean> =>
    ask().then(
      () => true,
      (error: { code?: string }) => {
        expect(error.code).toBe('E_LOG_UNREACHABLE')
        return false
      },
    )
  await until(answered, { what: 'the log is back', withinMs: 60_000 })
  return performance.now() - sinceMs
}

describe.skipIf(!canHavePairs)('a pair of servers', () => {
  it('connections that live on at a server that became read-only are thrown away, all of them', async () => {
    const pair = await startPair()
    const log = open({ url: pair.url, poolSize: 4 })
    await log.migrate()
    const factory = postgres({ url: pair.url })
    const { openHeartbeat } = (await import(factory.heartbeat!.module)) as {
      readonly openHeartbeat: (data: unknown) => HeartbeatLog
    }
    const thread = openHeartbeat(structuredClone(factory.heartbeat!.data))
    onTestFinished(() => thread.close())
    const by = workerRef({ leaseMs: 60_000 })
    const beat = () => thread.beat(by, { queues: ['q'], taking: true, progress: [] })
    const append = () =>
      log.append([newJob({ queue: 'q', ordering: { key: crypto.randomUUID(), onFailure: 'block' } })])
    await beat()
    await Promise.all(Array.from({ length: 4 }, append))
    const heard: string[] = []
    const stop = new AbortController()
    onTestFinished(() => stop.abort())
    void (async () => {
      for await (const topic of log.wakeups(['queue:q'], stop.signal)) heard.push(topic)
    })()
    await until(() => heard.includes('started'))
    await log.notify(['queue:q'])

    // Nothing is cut: the old server answers, and accepts no writes.
    await pair.turnReadOnly()
    await pair.standby.promote()
    pair.name.lead({ host: '127.0.0.1', port: pair.standby.port })
    const livedOn = pair.name.connections
    expect(livedOn).toBeGreaterThanOrEqual(6)

    const times = await Promise.all([
      back(beat),
      ...Array.from({ length: 4 }, () => back(append)),
      back(() => log.take(['q'], 1, by, crypto.randomUUID())),
    ])
    expect(Math.max(...times)).toBeLessThan(scaleLimit(backMs))
    const stored = await sql(pair.standby, 'select count(*)::int as count from errand.jobs')
    expect(stored).toEqual([{ count: 8 }])
    // Both the listener and the notifier use the new server.
    const other = open({ url: pair.standby.url })
    heard.length = 0
    await until(
      async () => {
        await other.notify(['queue:q'])
        return heard.includes('queue:q')
      },
      { what: 'the listener hears the new server', withinMs: backMs },
    )
    const listening = new AbortController()
    onTestFinished(() => listening.abort())
    const there: string[] = []
    void (async () => {
      for await (const topic of other.wakeups(['queue:q'], listening.signal)) there.push(topic)
    })()
    await until(() => there.includes('started'))
    await until(
      async () => {
        await log.notify(['queue:q'])
        return there.includes('queue:q')
      },
      { what: 'the notifier is heard at the new server', withinMs: backMs },
    )
  })

  it('a process that only reads also leaves a server that became read-only', async () => {
    const pair = await startPair()
    const log = open({ url: pair.primary.url })
    await log.migrate()
    const reading = open({ url: pair.url })
    const job = newJob()
    expect(await reading.get(job.id)).toBeUndefined()
    await pair.turnReadOnly()
    await pair.standby.promote()
    pair.name.lead({ host: '127.0.0.1', port: pair.standby.port })
    await open({ url: pair.standby.url }).append([job])
    await until(() => reading.get(job.id), { what: 'the reader sees the new server', withinMs: backMs })
  })

  it('of several hosts the log uses the one that can be written, and the other one once that is promoted', async () => {
    const pair = await startPair()
    const hosts = `127.0.0.1:${pair.standby.port},127.0.0.1:${pair.primary.port}`
    const url = `postgres://postgres@${hosts}/postgres`
    const log = open({ url })
    await log.migrate()
    expect(await log.append([newJob()])).toMatchObject([{ status: 'added' }])
    await pair.caughtUp()
    await pair.primary.kill()

    const error = await log.append([newJob()]).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'E_LOG_UNREACHABLE' })
    const { message } = error as Error
    expect(message).toContain(`${hosts}/postgres`)
    expect(message).toMatch(new RegExp(`127.0.0.1:${pair.standby.port}: the server is a standby`))
    expect(message).toMatch(new RegExp(`127.0.0.1:${pair.primary.port}: .*ECONNREFUSED`))

    await pair.standby.promote()
    expect(await back(() => log.append([newJob()]))).toBeLessThan(scaleLimit(backMs))
    const jobs = await sql(pair.standby, 'select count(*)::int as count from errand.jobs')
    expect(jobs).toEqual([{ count: 2 }])
  })

  it('a standby alone is refused, and read where that is asked for', async () => {
    const pair = await startPair()
    const job = newJob()
    const log = open({ url: pair.url })
    await log.migrate()
    await log.append([job])
    await pair.caughtUp()
    await expect(open({ url: pair.standby.url }).connect()).rejects.toMatchObject({
      code: 'E_LOG_UNREACHABLE',
      message: expect.stringMatching(/cannot be written.*standby.*target_session_attrs=any/) as string,
    })
    const reading = open({ url: `${pair.standby.url}?target_session_attrs=any` })
    expect(await reading.get(job.id)).toMatchObject({ id: job.id, state: 'ready' })
    await expect(reading.append([newJob()])).rejects.toMatchObject({ code: 'E_LOG_UNREACHABLE' })
  })
})
