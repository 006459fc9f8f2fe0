import type { Migration } from './migration.ts'
import { readRules } from './rules.ts'
import { readSql } from '../sql-files.ts'

/** What a build knows about the schema: its steps, and the rules that it calls. */
export interface Release {
  /** The version of its newest step and of its rules. */
  readonly version: number
  /** Every step, in order. */
  readonly migrations: () => readonly Migration[]
  /** Without a version in their names. */
  readonly rules: () => string
}

/** This build. Its texts are read only when needed: a process that only works with the log needs no file. */
export const release: Release = {
  version: 1,
  migrations: () => [{ version: 1, name: 'the job log', oldestCode: 1, tables: readSql('tables/0001.sql') }],
  rules: readRules,
}
