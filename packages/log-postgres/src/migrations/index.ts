import { migration0001 } from './0001/index.ts'
import type { Migration } from './migration.ts'

/** Every step, in order. */
export const migrations: readonly Migration[] = [migration0001]

/** The version of this code: the newest step that it knows. */
export const codeVersion: number = migrations.at(-1)?.version ?? 0

/** The oldest schema that this code can use. */
export const oldestSchema = 1
