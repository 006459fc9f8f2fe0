import type { Client } from 'pg'
import { expect } from 'vitest'
import { Database } from '../src/database.ts'
import type { Row, Run, Value } from '../src/database.ts'

interface Plan {
  readonly 'Node Type': string
  readonly 'Relation Name'?: string
  readonly 'Shared Hit Blocks': number
  readonly 'Shared Read Blocks': number
  readonly 'Actual Rows': number
  readonly 'Actual Loops': number
  readonly Plans?: readonly Plan[]
}

/** What statements read, from their plans: the same on every machine, unlike time. */
export interface Explained {
  /** For the calls that are looked at. */
  readonly database: Database
  /** Blocks of memory or disk that `act` reads. It reads no whole table that grows with the jobs. */
  blocksRead(act: () => Promise<unknown>): Promise<number>
  /** Rows of large tables that the statements of the last `blocksRead` read. */
  rowsRead(): number
}

type Cell = string | number | boolean | null

const large = ['live', 'jobs', 'ended', 'progress', 'succeeded_ranges']

const nodesOf = (plan: Plan): Plan[] => [plan, ...(plan.Plans ?? []).flatMap(nodesOf)]

/** As the log's own connections give it, which parse nothing. */
function toColumn(cell: Cell): string | null {
  if (typeof cell === 'boolean') return cell ? 't' : 'f'
  return cell === null ? null : String(cell)
}

/** A database that runs each statement twice: for its plan, and for its rows. */
export function explain(client: Client, schema: string): Explained {
  let plans: Plan[] = []
  let last: Promise<unknown> = Promise.resolve()
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const turn = last.then(work)
    last = turn.catch(() => undefined)
    return turn
  }
  const run = async (text: string, values: readonly Value[] = []): Promise<readonly Row[]> => {
    if (!text.startsWith('set ')) {
      const explained = await client.query<{ 'QUERY PLAN': readonly { readonly Plan: Plan }[] }>(
        `explain (analyze, buffers, timing off, format json) ${text}`,
        [...values],
      )
      // What a function reads depends on what it has kept of the catalog.
      if (!text.includes('events_of')) plans.push(explained.rows[0]!['QUERY PLAN'][0]!.Plan)
    }
    const found = await client.query<Cell[]>({ text, values: [...values], rowMode: 'array' })
    return found.rows.map((row) => row.map(toColumn))
  }
  const transaction = <T>(work: (run: Run) => Promise<T>): Promise<T> =>
    inTurn(async () => {
      await client.query('begin')
      try {
        return await work(run)
      } finally {
        await client.query('commit')
      }
    })
  const database = Object.assign(Object.create(Database.prototype) as Database, {
    schema,
    rule: (name: string) => `${schema}.${name}_v1`,
    query: (_name: string, text: string, values?: readonly Value[]) => inTurn(() => run(text, values)),
    transaction,
  })
  return {
    database,
    async blocksRead(act) {
      plans = []
      await act()
      for (const node of plans.flatMap(nodesOf))
        if (node['Node Type'] === 'Seq Scan') expect(large).not.toContain(node['Relation Name'])
      return plans.reduce((sum, plan) => sum + plan['Shared Hit Blocks'] + plan['Shared Read Blocks'], 0)
    },
    rowsRead: () =>
      plans
        .flatMap(nodesOf)
        .filter((node) => large.includes(node['Relation Name'] ?? ''))
        .reduce((sum, node) => sum + node['Actual Rows'] * node['Actual Loops'], 0),
  }
}
