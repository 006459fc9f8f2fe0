import type { Migration } from './migration.ts'
import { readSql } from './sql-files.ts'

/** The files of `sql/rules`, in the order in which they are created: SQL functions name only what is there already. */
const rules = [
  'timeline',
  'bounds',
  'partitions',
  'keys',
  'unique',
  'append',
  'append_alike',
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
  'prune',
] as const

/** Every step, in order. */
export const migrations: readonly Migration[] = [
  {
    version: 1,
    name: 'the job log',
    oldestCode: 1,
    sql: (schema) =>
      [
        readSql('tables/0001.sql', schema),
        ...rules.map((rule) => readSql(`rules/${rule}.sql`, schema)),
        `select ${schema}.ensure_partitions(14);`,
      ].join('\n'),
  },
]

/** The version of this code: the newest step that it knows. */
export const codeVersion: number = migrations.at(-1)?.version ?? 0

/** The oldest schema that this code can use. */
export const oldestSchema = 1
