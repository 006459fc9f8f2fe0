import { DatabaseSync } from 'node:sqlite'
import type { JobStore } from '@errand/core/engine'
import { MemoryStore } from '../../packages/core/src/engine/memory-store.ts'
import { migrate } from '../../packages/log-sqlite/src/migrate.ts'
import { Statements } from '../../packages/log-sqlite/src/statements.ts'
import { sqliteStore } from '../../packages/log-sqlite/src/store.ts'

export const storeKinds = ['memory', 'sqlite'] as const
export type StoreKind = (typeof storeKinds)[number]

/** The store of the log's rows. */
export interface Rows {
  /** The rows as they are now. */
  readonly store: JobStore
  /** Runs one transaction alone. If it throws, nothing of it is kept. */
  transact<T>(rules: (store: JobStore) => T): T
  close(): void
}

const logId = 'simulated'

export function openRows(kind: StoreKind): Rows {
  if (kind === 'sqlite') return openSqlite()
  const store = new MemoryStore(logId)
  return { store, transact: (rules) => rules(store), close: () => undefined }
}

/** The real SQLite store over a database in memory: its statements are real, but it has no file and no locks. */
function openSqlite(): Rows {
  const database = new DatabaseSync(':memory:')
  const sql = new Statements(database)
  migrate(sql)
  sql.run('update errand_log set log_id = ?', logId)
  return {
    // A new one for each transaction, because it caches the log's facts.
    get store() {
      return sqliteStore(sql)
    },
    transact(rules) {
      database.exec('begin immediate')
      try {
        const result = rules(sqliteStore(sql))
        database.exec('commit')
        return result
      } catch (error) {
        database.exec('rollback')
        throw error
      }
    },
    close: () => database.close(),
  }
}
