import { createdIn, readSql } from '../sql-files.ts'

/** The files of `sql/rules`, in the order of creation: SQL functions may name only what exists already. */
const files = [
  'timeline',
  'bounds',
  'events',
  'partitions',
  'turns',
  'keys',
  'needs',
  'ends',
  'flows',
  'flow_acts',
  'unique',
  'limits',
  'memory',
  'suspend',
  'messages',
  'calls',
  'append',
  'append_alike',
  'grant',
  'overdue',
  'claim',
  'take',
  'settle',
  'settle_succeeded',
  'beat',
  'sweep',
  'sweep_moves',
  'set_aside',
  'cancel',
  'replay',
  'skip',
  'change',
  'debounce',
  'prune',
  'schedules',
] as const

/** The rules of this code, from their files. */
export const readRules = (): string => files.map((file) => readSql(`rules/${file}.sql`)).join('\n')

/** The name of a rule in the database: each version has rules of its own, so that an older worker goes on with its own. */
export const ruleName = (name: string, version: number): string => `${name}_v${version}`

/** The rules under the names of a version, also where they call each other. */
export function versioned(rules: string, version: number): string {
  const names = new Set(createdIn(rules, 'function'))
  return rules.replaceAll(/\berrand\.(\w+)/g, (whole, name: string) =>
    names.has(name) ? `errand.${ruleName(name, version)}` : whole,
  )
}
