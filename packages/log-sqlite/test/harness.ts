import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { quietLogger } from '@errand/testkit'
import type { JobLogHarness } from '@errand/testkit'
import { virtualClock } from '@errand/core/testing'
import { sqlite } from '../src/index.ts'

/** A file of its own for every log. */
export const harness: JobLogHarness = {
  create: async () => {
    const folder = mkdtempSync(join(tmpdir(), 'errand-sqlite-'))
    const factory = sqlite({ file: join(folder, 'jobs.db') })
    const clock = virtualClock()
    const opened: { close(): Promise<void> }[] = []
    const open = (logger = quietLogger) => {
      const log = factory.open({ logger, clock })
      opened.push(log)
      return log
    }
    return {
      log: open(),
      another: async (logger) => open(logger),
      advance: (ms) => clock.advance(ms),
      damage: (id) => {
        const connection = new DatabaseSync(join(folder, 'jobs.db'), { timeout: 5_000 })
        connection.prepare('update errand_jobs set version = 9223372036854775807 where id = ?').run(id)
        connection.close()
      },
      freeze: (id) => {
        using connection = new DatabaseSync(join(folder, 'jobs.db'), { timeout: 5_000 })
        connection.prepare(`update errand_jobs set state = 'frozen' where id = ?`).run(id)
        connection
          .prepare(
            `insert into errand_events (job_id, version, type, state, name, queue, tags, at, run, attempt, data)
             values (?, 2, 'froze', 'frozen', 'a', 'q', '[]', 0, 0, 0, '{}')`,
          )
          .run(id)
      },
      begin: async () => {
        const connection = new DatabaseSync(join(folder, 'jobs.db'), { timeout: 5_000 })
        connection.exec('begin immediate')
        const end = (how: 'commit' | 'rollback') => async () => {
          connection.exec(how)
          connection.close()
        }
        return { tx: connection, commit: end('commit'), rollback: end('rollback') }
      },
      close: async () => {
        await Promise.all(opened.map((log) => log.close()))
        rmSync(folder, { recursive: true, force: true })
      },
    }
  },
  capabilities: { advance: true, transactions: 'one-writer', damage: true, freeze: true },
}
