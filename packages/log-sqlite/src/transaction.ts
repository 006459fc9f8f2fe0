import { realpathSync } from 'node:fs'
import { ErrandError } from '@errand/core/ports'
import type { SqliteTx, Transaction } from '@errand/core/ports'
import { Statements } from './statements.ts'

const known = new WeakMap<object, Statements>()

/**
 * The caller's connection, which must be inside a transaction and on the log's own file.
 * @throws `E_TRANSACTION` for anything else.
 */
export function toStatements(tx: Transaction, file: string): Statements {
  const refuse = (why: string): never => {
    throw new ErrandError(
      'E_TRANSACTION',
      `the job log is SQLite (${file}), and tx ${why}; pass the synchronous connection (node:sqlite or better-sqlite3) inside its transaction`,
    )
  }
  if (!isSqlite(tx)) return refuse('is not a connection to SQLite')
  if (!(tx.isTransaction ?? tx.inTransaction))
    return refuse('is not inside a transaction: run "begin immediate" on it first')
  let statements = known.get(tx)
  if (!statements) {
    statements = new Statements(tx)
    const main = statements.all('pragma database_list').find((row) => row.name === 'main')
    if (!main?.file || realpathSync(String(main.file)) !== realpathSync(file))
      return refuse('is on another file')
    known.set(tx, statements)
  }
  return statements
}

function isSqlite(tx: Transaction): tx is SqliteTx {
  return typeof tx === 'object' && tx !== null && 'prepare' in tx && typeof tx.prepare === 'function'
}
