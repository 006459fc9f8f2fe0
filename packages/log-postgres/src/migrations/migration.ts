/**
 * One step of the schema. Steps are only ever added, and each one first expands: code of the version before must go on
 * working beside it, because workers are replaced one by one.
 */
export interface Migration {
  readonly version: number
  readonly name: string
  /** The oldest code (by the newest step that it knows) that may use the schema after this step. */
  readonly oldestCode: number
  /** Its statements; `schema` is quoted. */
  sql(schema: string): string
}
