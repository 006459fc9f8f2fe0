/* oxlint-disable typescript/no-explicit-any -- structural types of other libraries: `any` is what lets each of them fit */

/**
 * The caller's own transaction, as the libraries pass it to a callback. The types are structural and import no library.
 * Each type refuses that library's pool or client, because a job that is written outside the transaction would not roll back with it.
 */
export type Transaction =
  | PgTx
  | KyselyTx
  | DrizzleTx
  | PrismaTx
  | KnexTx
  | PostgresJsTx
  | RowsTx
  | SequelizeTx
  | MikroOrmTx
  | SqliteTx

/** A `pg` client inside `begin … commit`. Its Pool has `totalCount`. */
export interface PgTx extends NoPool {
  query(text: string, values?: any[]): Promise<{ readonly rows: readonly any[] }>
}
/** TypeORM's manager or query runner inside a transaction, or the `t` of pg-promise's `tx()`: they resolve with the rows. */
interface RowsTx extends NoPool {
  query(text: string, values?: any[]): Promise<any>
}
interface NoPool {
  readonly totalCount?: never
  /** TypeORM's DataSource. */
  readonly createQueryRunner?: never
  /** The `db` of pg-promise. */
  readonly $pool?: never
  /** Sequelize itself. */
  readonly define?: never
}
/** Sequelize's transaction. */
interface SequelizeTx {
  commit(): Promise<void>
  rollback(): Promise<void>
  afterCommit(then: any): unknown
}
/** MikroORM's EntityManager inside `em.transactional()`. */
interface MikroOrmTx {
  isInTransaction(): boolean
  execute(sql: any, values?: any): Promise<any>
}
/** Kysely's transaction. On Kysely itself `isTransaction` is a boolean. */
export interface KyselyTx {
  readonly isTransaction: true
  executeQuery(query: any): Promise<{ readonly rows: readonly any[] }>
}
/** Drizzle's transaction. Its database has no `rollback`. */
export interface DrizzleTx {
  rollback(): never
  readonly _: { readonly session: any }
}
/** Prisma's interactive transaction. Its client has `$connect`. */
export interface PrismaTx {
  $queryRawUnsafe(sql: string, ...values: any[]): PromiseLike<any>
  readonly $connect?: never
}
/** Knex's transaction. Knex itself has no `isCompleted`. */
export interface KnexTx {
  raw(sql: string, bindings: any): PromiseLike<any>
  isCompleted(): boolean
}
/** A postgres.js transaction. Its `sql` has no `savepoint`. */
export interface PostgresJsTx {
  unsafe(sql: string, values?: any[]): PromiseLike<any>
  readonly savepoint: unknown
}
/** A synchronous SQLite connection inside a transaction: `node:sqlite` or better-sqlite3, on the log's own file. */
export interface SqliteTx {
  prepare(sql: string): { all(...values: any[]): unknown[] }
  readonly isTransaction?: boolean
  readonly inTransaction?: boolean
}
