import { Pool } from 'pg'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, inject, onTestFinished, test } from 'vitest'
import type { Transaction } from '@errand/core'
import { work } from './app/jobs.ts'
import { readLedger } from './app/ledger.ts'
import { allEnded, collectIds } from './looks.ts'
import { startWorker } from './member.ts'
import { logs, scene } from './shared.ts'

const jobs = 1_000

interface Application {
  transaction(work: (tx: Transaction) => Promise<void>, end: 'commit' | 'rollback'): Promise<void>
}

async function applicationOn(name: string, url: string): Promise<Application> {
  if (name === 'sqlite') {
    const connection = new DatabaseSync(url.slice('sqlite:'.length), { timeout: 10_000 })
    onTestFinished(() => connection.close())
    return {
      async transaction(run, end) {
        connection.exec('begin immediate')
        await run(connection)
        connection.exec(end)
      },
    }
  }
  const pool = new Pool({ connectionString: inject('postgres'), max: 8 })
  onTestFinished(() => pool.end())
  return {
    async transaction(run, end) {
      const client = await pool.connect()
      await client.query('begin')
      await run(client)
      await client.query(end)
      client.release()
    },
  }
}

describe.each(logs)('1,000 jobs dispatched inside transactions on %s', (name) => {
  test('exactly the half that commits runs', async () => {
    const { errand, env, ledger, log, url, violations } = await scene(name)
    const application = await applicationOn(name, url)
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
