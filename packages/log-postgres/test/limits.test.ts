import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import type { JobLog, NewJob, SettledOutcome } from '@errand/core/ports'
import { newJob, outcomes, settlement, until, workerRef } from '@errand/testkit'
import { describeOnPostgres } from './stage.ts'

const total = 5
const perKey = 2
const jobs = 400
const limit = (key: string): Partial<NewJob> => ({ queue: 'q', limit: { name: 'api', key } })

/**
 * What one writer at a time cannot show: transactions that look at a limit at the same moment, each with a snapshot of its own.
 * Nobody waits for a limit; who does not get it leaves a note.
 */
describeOnPostgres('limits under many transactions at a time', ({ stage, log }) => {
  it('never more than the limit says, nobody is left behind, and no note is left', async () => {
    const values = { total, perKey }
    await log.saveLimits([{ name: 'api', after: 0, to: { values, body: '{}' } }])
    const next = Math.random
    const whole = (most: number): number => Math.floor(next() * (most + 1))
    const over = new AbortController()
    const stored: string[] = []
    const patient = async (act: () => Promise<unknown>): Promise<void> => {
      // A row that somebody has locked is an answer, too.
      await act().catch((error: Error) =>
        expect(error.message).toMatch(
          /lock|serializ|changed by|deadlock|is (running|final|succeeded|cancelled)|no job/,
        ),
      )
    }

    const dispatcher = async (own: JobLog, held: boolean): Promise<void> => {
      const client = held ? await stage.client() : undefined
      for (let left = jobs / 4; left > 0; left -= 1) {
        const job = newJob({ ...limit(`key-${whole(5)}`), publishGraceMs: 0 })
        if (client) {
          await client.query('begin')
          await own.append([job], { tx: client })
          await sleep(whole(20))
          await client.query('commit')
        } else await own.append([job])
        stored.push(job.id)
      }
    }
    const finish = (): SettledOutcome =>
      next() < 0.8
        ? outcomes.succeed()
        : [outcomes.retry(0), outcomes.snooze(1), outcomes.release(false), outcomes.fail()][whole(3)]!
    const worker = async (own: JobLog): Promise<void> => {
      const by = workerRef({ leaseMs: 600_000 })
      await own.beat(by, { queues: ['q'], taking: true, progress: [] })
      while (!over.signal.aborted) {
        const claims = await own.take(['q'], 1 + whole(2), by, randomUUID())
        if (claims.length === 0) await sleep(2)
        else {
          await sleep(whole(3))
          await own.settle(
            claims.map((claim) => settlement(claim, finish())),
            by,
          )
        }
      }
    }
    const sweeper = async (own: JobLog): Promise<void> => {
      while (!over.signal.aborted) {
        await own.passNotes(100)
        await own.sweep({ limit: 100, republish: false, queues: ['q'], skipQueues: [] })
        await sleep(10)
      }
    }
    const operator = async (own: JobLog): Promise<void> => {
      const ada = { by: 'ada' }
      while (!over.signal.aborted) {
        const id = stored[whole(Math.max(0, stored.length - 1))]
        if (id === undefined) await sleep(5)
        else if (next() < 0.3) await patient(() => own.cancel([id], ada))
        else if (next() < 0.5) await patient(() => own.replay([id], ada))
        else await patient(() => own.change(id, { runAt: Date.now() + whole(20) }, ada))
        await sleep(whole(10))
      }
    }
    const most = { all: 0, key: 0, looks: 0 }
    const watcher = async (): Promise<void> => {
      while (!over.signal.aborted) {
        const rows = await stage.sql(
          `select lim_key, count(*)::int as n from errand.live where lim = 'api' and held is null group by 1`,
        )
        const counts = rows.map(({ n }) => Number(n))
        most.looks += 1
        most.all = Math.max(
          most.all,
          counts.reduce((sum, each) => sum + each, 0),
        )
        most.key = Math.max(most.key, ...counts)
        await sleep(1)
      }
    }

    const helpers = [
      ...Array.from({ length: 4 }, () => worker(stage.open({ poolSize: 2 }))),
      sweeper(stage.open({ poolSize: 2 })),
      operator(stage.open({ poolSize: 2 })),
      watcher(),
    ]
    await Promise.all([0, 1, 2, 3].map((n) => dispatcher(stage.open({ poolSize: 2 }), n % 2 === 0)))
    const live = async (): Promise<number> =>
      Number((await stage.sql(`select count(*)::int as n from errand.live where state <> 6`))[0]!['n'])
    await until(async () => (await live()) === 0, { withinMs: 60_000 })
    over.abort()
    await Promise.all(helpers)

    expect(most.looks).toBeGreaterThan(50)
    expect(most).toMatchObject({ all: total, key: perKey })
    // The last ones to end may have left notes.
    await log.passNotes(1_000)
    expect(await stage.sql('select * from errand.limit_notes')).toEqual([])
    expect(await stage.sql('select name, key, waits from errand.limit_keys')).toEqual([])
  })
})
