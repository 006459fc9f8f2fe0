import { describe, expect, test } from 'vitest'
import { work } from './app/jobs.ts'
import { readLedger } from './app/ledger.ts'
import { applicationOn } from './application.ts'
import { allEnded, collectIds } from './looks.ts'
import { startWorker } from './member.ts'
import { logs, scene } from './shared.ts'

const jobs = 1_000

describe.each(logs)('1,000 jobs dispatched inside transactions on %s', (name) => {
  test('exactly the half that commits runs', async () => {
    const { errand, env, ledger, log, url, violations } = await scene(name)
    const application = applicationOn(name, url)
    const committed = new Set<string>()
    const dispatchOne = (n: number): Promise<void> => {
      const end = n % 2 === 0 ? 'commit' : 'rollback'
      return application.transaction(async (tx) => {
        const { id } = await errand.dispatch(work, { n, failures: 0, ms: 0 }, { tx })
        if (end === 'commit') committed.add(id)
      }, end)
    }
    await startWorker(env)
    // SQLite has one writer, and this application one connection; on PostgreSQL eight transactions are open at a time.
    const lines = name === 'sqlite' ? 1 : 8
    await Promise.all(
      Array.from({ length: lines }, async (_, line) => {
        for (let n = line; n < jobs; n += lines) await dispatchOne(n)
      }),
    )
    errand.wake()
    await allEnded(log, 60_000)

    expect(committed.size).toBe(jobs / 2)
    const ran = new Set(readLedger(ledger).map((line) => line.jobId))
    expect(ran).toEqual(committed)
    expect(await collectIds(errand.jobs.list({ state: 'succeeded' }))).toEqual(committed)
    expect(await violations()).toBe('')
  })
})
