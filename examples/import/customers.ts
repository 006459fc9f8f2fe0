import { DatabaseSync } from 'node:sqlite'

/** Stands for the application's own database. */
function open(): DatabaseSync {
  const database = new DatabaseSync(process.env['CUSTOMERS'] ?? './customers.db', { timeout: 10_000 })
  database.exec(
    'pragma journal_mode = wal; create table if not exists customers (id integer primary key, name text, cents integer)',
  )
  return database
}

/** All of the rows or none of them. A row that is there is written again, so a part may run twice. */
export function store(rows: readonly string[]): void {
  using database = open()
  const insert = database.prepare('insert or replace into customers values (?, ?, ?)')
  database.exec('begin immediate')
  for (const row of rows) {
    const [id = '', name = '', cents = ''] = row.split(',')
    if (!/^\d+$/.test(cents)) throw new BadRow(`row ${id} has the amount ${cents}`)
    insert.run(Number(id), name, Number(cents))
  }
  database.exec('commit')
}

export function count(): number {
  using database = open()
  return Number(database.prepare('select count(*) as count from customers').get()?.['count'])
}

/** Another attempt would find the same. */
export class BadRow extends Error {
  override readonly name = 'BadRow'
}
