/** The values that SQLite takes and returns here. */
export type Value = string | number | null
export type Row = Readonly<Record<string, Value>>

/** What the store needs of a synchronous connection: `node:sqlite`, or better-sqlite3 as a caller's transaction. */
export interface Connection {
  prepare(sql: string): Statement
}

interface Statement {
  all(...values: Value[]): unknown[]
  /** better-sqlite3 refuses `all` for a statement without rows, so writes use `run` if it exists. */
  run?(...values: Value[]): unknown
  setReadBigInts?(on: boolean): void
}

/** Prepared statements by their text, per connection. */
export class Statements {
  readonly #connection: Connection
  readonly #prepared = new Map<string, Statement>()

  constructor(connection: Connection) {
    this.#connection = connection
  }

  all(sql: string, ...values: Value[]): Row[] {
    const statement = this.#get(sql)
    try {
      return statement.all(...values) as Row[]
    } catch (error) {
      if (!isOutOfRange(error) || !statement.setReadBigInts) throw error
      return readAll(statement, values)
    }
  }

  one(sql: string, ...values: Value[]): Row | undefined {
    return this.all(sql, ...values)[0]
  }

  run(sql: string, ...values: Value[]): void {
    const statement = this.#get(sql)
    if (statement.run) statement.run(...values)
    else statement.all(...values)
  }

  #get(sql: string): Statement {
    let statement = this.#prepared.get(sql)
    if (!statement) {
      statement = this.#connection.prepare(sql)
      this.#prepared.set(sql, statement)
    }
    return statement
  }
}

/** True if JavaScript cannot represent an integer exactly. The client then refuses the whole page. */
function isOutOfRange(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_OUT_OF_RANGE'
}

/** Reads such integers as the nearest number. The reader of a row checks them. */
function readAll(statement: Statement, values: Value[]): Row[] {
  statement.setReadBigInts?.(true)
  try {
    return (statement.all(...values) as Record<string, Value | bigint>[]).map((row) =>
      Object.fromEntries(
        Object.entries(row).map(([name, value]) => [name, typeof value === 'bigint' ? Number(value) : value]),
      ),
    )
  } finally {
    statement.setReadBigInts?.(false)
  }
}
