import { ErrandError } from '@errand/core/ports'
import type { Transaction } from '@errand/core/ports'

/**
 * One statement of the caller's transaction. Its parameters are text, and it answers one row with one column named
 * `answer`: so little that every library passes it through unchanged, whatever it does to names, types and dates.
 */
export type RunInside = (text: string, values: readonly (string | null)[]) => Promise<string>

type Shape = Readonly<Record<string, unknown>>

/**
 * The statement runner of the caller's own transaction, found by its shape: no library is imported. A pool or a client
 * is refused, because what it wrote would not be part of any transaction.
 * @throws `E_TRANSACTION`
 */
export function recognizeTransaction(tx: Transaction): RunInside {
  if ((typeof tx !== 'object' && typeof tx !== 'function') || tx === null) return refuse('is not an object')
  const shape = tx as unknown as Shape
  const adapter =
    kysely(shape) ??
    drizzle(shape) ??
    knex(shape) ??
    prisma(shape) ??
    postgresJs(shape) ??
    mikroOrm(shape) ??
    sequelize(shape) ??
    pg(shape)
  if (adapter) return (text, values) => inTurn(tx, () => proved(adapter, text, values))
  if (has(shape, 'prepare')) return refuse('is a connection to SQLite, and this log is PostgreSQL')
  return refuse('is of no library that Errand knows')
}

const outside = 'outside '

/**
 * A shape does not tell whether a transaction was begun. Two statements do, with every library: a transaction keeps the
 * number that its first writing statement gets, and outside each statement is a transaction of its own. So the
 * statement runs only if there is a number already, as in most transactions that have written something. Otherwise it
 * takes a number and is sent again.
 */
async function proved(
  adapter: Adapter,
  statement: string,
  values: readonly (string | null)[],
): Promise<string> {
  const text = `select case when pg_current_xact_id_if_assigned() is null
    then concat('${outside}', pg_current_xact_id()) else (${statement}) end as answer`
  const first = pickAnswer(await adapter(text, values))
  if (!first.startsWith(outside)) return first
  const second = pickAnswer(await adapter(text, values))
  if (!second.startsWith(outside)) return second
  return refuse('is not inside a transaction: each of its statements is one of its own')
}

const turns = new WeakMap<object, Promise<unknown>>()

/** A transaction is one connection, and most clients take one statement at a time. */
function inTurn<T>(tx: object, work: () => Promise<T>): Promise<T> {
  const turn = (turns.get(tx) ?? Promise.resolve()).then(work)
  turns.set(
    tx,
    turn.catch(() => {}),
  )
  return turn
}

type Adapter = (text: string, values: readonly (string | null)[]) => PromiseLike<unknown>

function kysely(tx: Shape): Adapter | undefined {
  if (!has(tx, 'executeQuery') || typeof tx['isTransaction'] !== 'boolean') return undefined
  if (!tx['isTransaction'])
    return refuse('is a Kysely outside a transaction; pass the trx of db.transaction().execute()')
  if (tx['isCommitted'] === true || tx['isRolledBack'] === true)
    return refuse('is a Kysely transaction that has ended')
  return (sql, values) =>
    call(tx, 'executeQuery', {
      sql,
      parameters: [...values],
      query: { kind: 'RawNode', sqlFragments: [sql], parameters: [] },
      queryId: { queryId: 'errand' },
    })
}

function drizzle(tx: Shape): Adapter | undefined {
  const inner = tx['_']
  const session = typeof inner === 'object' && inner !== null ? (inner as Shape)['session'] : undefined
  if (typeof session !== 'object' || session === null || !has(session as Shape, 'prepareQuery'))
    return undefined
  if (!has(tx, 'rollback')) return refuse('is a Drizzle database; pass the tx of db.transaction()')
  return (sql, params) => {
    const prepared = call(
      session as Shape,
      'prepareQuery',
      { sql, params: [...params] },
      undefined,
      undefined,
      false,
    )
    return call(prepared as unknown as Shape, 'execute')
  }
}

function knex(tx: Shape): Adapter | undefined {
  if (!has(tx, 'raw') || !has(tx, 'transaction')) return undefined
  if (!has(tx, 'isCompleted')) return refuse('is a Knex instance; pass the trx of knex.transaction()')
  return async (sql, values) => {
    if (await call(tx, 'isCompleted')) return refuse('is a Knex transaction that has ended')
    return call(tx, 'raw', numbered(sql), [...values])
  }
}

function prisma(tx: Shape): Adapter | undefined {
  if (!has(tx, '$queryRawUnsafe')) return undefined
  if (has(tx, '$connect'))
    return refuse('is a Prisma client; pass the tx of prisma.$transaction(async (tx) => …)')
  return (sql, values) => call(tx, '$queryRawUnsafe', sql, ...values)
}

function postgresJs(tx: Shape): Adapter | undefined {
  if (!has(tx, 'unsafe')) return undefined
  if (!has(tx, 'savepoint'))
    return refuse('is the sql of postgres.js; pass the one that sql.begin() hands over')
  return (text, values) => call(tx, 'unsafe', text, [...values])
}

function mikroOrm(tx: Shape): Adapter | undefined {
  if (!has(tx, 'isInTransaction') || !has(tx, 'execute')) return undefined
  if (syncCall(tx, 'isInTransaction') !== true)
    return refuse('is a MikroORM EntityManager outside a transaction; pass the em of em.transactional()')
  return (sql, values) => call(tx, 'execute', numbered(sql), [...values])
}

function sequelize(tx: Shape): Adapter | undefined {
  const instance = tx['sequelize']
  if (!has(tx, 'afterCommit') || instance === null || instance === undefined) return undefined
  if (tx['finished'] !== undefined) return refuse('is a Sequelize transaction that has ended')
  return (sql, values) =>
    // The library's log would show the job's payload.
    call(instance as Shape, 'query', sql, {
      bind: [...values],
      transaction: tx,
      type: 'SELECT',
      logging: false,
    })
}

/** Of pg itself, and of TypeORM's managers and query runners and pg-promise's tasks, which have the same method. */
function pg(tx: Shape): Adapter | undefined {
  if (!has(tx, 'query')) return undefined
  if ('totalCount' in tx) return refuse('is a pool; take a client of it, and run "begin" on that')
  if (has(tx, 'define')) return refuse('is a Sequelize; pass the transaction of sequelize.transaction()')
  // `I`: idle, outside a transaction. Clients from before pg 8.17 cannot tell.
  if (has(tx, 'getTransactionStatus') && syncCall(tx, 'getTransactionStatus') === 'I')
    return refuse('is a client outside a transaction: run "begin" on it first')
  return (text, values) => call(tx, 'query', text, [...values])
}

/** For libraries that number the parameters themselves, in order. */
function numbered(sql: string): string {
  return sql.replaceAll(/\$\d+/g, '?')
}

/** Libraries return `{ rows: [{ answer }] }` or `[{ answer }]`. */
function pickAnswer(result: unknown): string {
  const rows: unknown = Array.isArray(result) ? result : (result as { rows?: unknown } | undefined)?.rows
  const row: unknown = Array.isArray(rows) ? rows[0] : undefined
  const answer: unknown = Array.isArray(row) ? row[0] : (row as { answer?: unknown } | undefined)?.answer
  if (typeof answer === 'string') return answer
  throw new ErrandError(
    'E_TRANSACTION',
    "the transaction's library gave no row for a statement of the job log",
  )
}

function has(value: Shape, name: string): boolean {
  return typeof value[name] === 'function'
}

function syncCall(value: Shape, name: string, ...values: readonly unknown[]): unknown {
  return (value[name] as (...values: readonly unknown[]) => unknown).apply(value, [...values])
}

function call(value: Shape, name: string, ...values: readonly unknown[]): PromiseLike<unknown> {
  return syncCall(value, name, ...values) as PromiseLike<unknown>
}

function refuse(why: string): never {
  throw new ErrandError(
    'E_TRANSACTION',
    `tx ${why}; a job is dispatched in a transaction of pg, Kysely, Drizzle, Knex, Prisma, postgres.js, TypeORM, Sequelize, MikroORM or pg-promise on the log's own database`,
  )
}
