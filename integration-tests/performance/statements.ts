import { Client } from 'pg'
import { onTestFinished } from 'vitest'

type Query = (this: Client, ...args: unknown[]) => unknown

/** Counts this process's statements on PostgreSQL by the name of their plan, until the test has finished. */
export function countStatements(): { readonly of: (name: string) => number; readonly total: () => number } {
  const counts = new Map<string, number>()
  const { prototype } = Client as unknown as { readonly prototype: { query: Query } }
  const { query } = prototype
  prototype.query = function (...args) {
    const [config] = args as [{ readonly name?: string } | string]
    const name = (typeof config === 'object' && config.name) || 'other'
    counts.set(name, (counts.get(name) ?? 0) + 1)
    return query.apply(this, args)
  }
  onTestFinished(() => {
    prototype.query = query
  })
  return {
    of: (name) => counts.get(name) ?? 0,
    total: () => [...counts.values()].reduce((sum, count) => sum + count, 0),
  }
}
