import { ErrandError } from '../errors.ts'
import { describe } from '../options.ts'
import type { Transaction } from '../ports/transaction.ts'

/**
 * Refuses a value that is visibly no transaction, before anything is sent: a job that is written through a pool would exist
 * although the caller rolls back.
 * @throws `E_TRANSACTION`
 */
export function checkTransaction(tx: unknown): asserts tx is Transaction {
  const value = (typeof tx === 'object' && tx !== null) || typeof tx === 'function' ? tx : undefined
  const pool = value && recognizePool(value)
  if (pool !== undefined) {
    throw new ErrandError(
      'E_TRANSACTION',
      `tx is ${pool}, not a transaction; pass what your library hands to the transaction's callback`,
    )
  }
  if (value && isIdleSqlite(value))
    throw new ErrandError(
      'E_TRANSACTION',
      'tx is a SQLite connection outside a transaction: run "begin" on it first',
    )
  if (isTransaction(tx)) return
  throw new ErrandError(
    'E_TRANSACTION',
    `tx is ${describe(tx)} that Errand does not know; use a transaction of pg, Kysely, Drizzle, Prisma, Knex, postgres.js, TypeORM, Sequelize, MikroORM or pg-promise, or a synchronous SQLite connection`,
  )
}

const has = (value: object, name: string, type: string): boolean =>
  // oxlint-disable-next-line valid-typeof -- the type is one of typeof's own words, at every call
  name in value && typeof Reflect.get(value, name) === type

/** A Proxy may have every property, as those of Prisma and postgres.js do. So a pool is recognized by what only it has. */
function recognizePool(value: object): string | undefined {
  if (has(value, 'query', 'function') && has(value, 'totalCount', 'number')) return 'a pg Pool'
  if (has(value, 'query', 'function') && has(value, 'createQueryRunner', 'function'))
    return 'a TypeORM DataSource'
  if (has(value, 'query', 'function') && has(value, 'define', 'function')) return 'Sequelize itself'
  if (has(value, 'query', 'function') && has(value, '$pool', 'object')) return 'the db of pg-promise'
  if (has(value, 'executeQuery', 'function') && Reflect.get(value, 'isTransaction') === false)
    return 'Kysely itself'
  if (has(value, '$queryRawUnsafe', 'function') && has(value, '$connect', 'function'))
    return 'a Prisma client'
  if (has(value, 'unsafe', 'function') && has(value, 'begin', 'function'))
    return 'the postgres.js sql function'
  if (has(value, 'raw', 'function') && !has(value, 'isCompleted', 'function')) return 'Knex itself'
  if (
    has(value, 'transaction', 'function') &&
    has(value, '_', 'object') &&
    !has(value, 'rollback', 'function')
  ) {
    return 'a Drizzle database'
  }
  return undefined
}

function isIdleSqlite(value: object): boolean {
  // A transaction of postgres.js has a prepare() too.
  const isSqlite = has(value, 'prepare', 'function') && !has(value, 'unsafe', 'function')
  return (
    isSqlite && Reflect.get(value, 'isTransaction') !== true && Reflect.get(value, 'inTransaction') !== true
  )
}

function isTransaction(value: unknown): boolean {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return false
  const callable = [
    'query',
    'executeQuery',
    '$queryRawUnsafe',
    'unsafe',
    'raw',
    'rollback',
    'prepare',
    'execute',
  ]
  return callable.some((name) => has(value, name, 'function'))
}
