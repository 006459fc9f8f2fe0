import type { Client } from 'pg'

/** Rows by table: of scans of the whole of it, and found by an index. The same on every machine, unlike time. */
export type Reads = Readonly<Record<string, { readonly whole: number; readonly rows: number }>>

/** What `work` reads with this client. The server's counts go on from one transaction to the next until it reports them. */
export async function countReads(
  client: Client,
  schema: string,
  work: () => Promise<unknown>,
): Promise<Reads> {
  await client.query('begin')
  const before = await counts(client, schema)
  await work()
  const after = await counts(client, schema)
  await client.query('commit')
  return Object.fromEntries(
    Object.entries(after).map(([table, { whole, rows }]) => [
      table,
      { whole: whole - (before[table]?.whole ?? 0), rows: rows - (before[table]?.rows ?? 0) },
    ]),
  )
}

async function counts(client: Client, schema: string): Promise<Reads> {
  const { rows: tables } = await client.query<{ relname: string; whole: number; rows: number }>(
    `select relname, seq_tup_read::int as whole, coalesce(idx_tup_fetch, 0)::int as rows
       from pg_stat_xact_all_tables where schemaname = $1`,
    [schema],
  )
  return Object.fromEntries(tables.map(({ relname, whole, rows }) => [relname, { whole, rows }]))
}
