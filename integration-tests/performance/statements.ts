import { Client } from 'pg'
import { onTestFinished } from 'vitest'

type Query = (this: Client, ...args: unknown[]) => unknown

/** Counts this process's statements on PostgreSQL by the name of their plan, without the version of the rules, until the test has finished. */
export function countStatements(): {
  readonly of: (name: string) => number
  readonly total: () => number
  /** Statements and answers in their order: `sent errand_take`, `answered errand_take`. */
  readonly order: readonly string[]
} {
  const counts = new Map<string, number>()
  const order: string[] = []
  const { prototype } = Client as unknown as { readonly prototype: { query: Query } }
  const { query } = prototype
  prototype.query = function (...args) {
    const [config] = args as [{ readonly name?: string } | string]
    const name = (typeof config === 'object' && config.name?.replace(/_v\d+$/, '')) || 'other'
    counts.set(name, (counts.get(name) ?? 0) + 1)
    order.push(`sent ${name}`)
    const answer = query.apply(this, args)
    const answered = (): void => void order.push(`answered ${name}`)
    if (answer instanceof Promise) void answer.then(answered, answered)
    return answer
  }
  onTestFinished(() => {
    prototype.query = query
  })
  return {
    order,
    of: (name) => counts.get(name) ?? 0,
    total: () => [...counts.values()].reduce((sum, count) => sum + count, 0),
  }
}
