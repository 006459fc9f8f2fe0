/**
 * One step of the schema. Steps are only added. Each one expands first: code of the version before must work beside it,
 * because workers are replaced one by one.
 */
export interface Migration {
  readonly version: number
  readonly name: string
  /**
   * The oldest code (by the newest step that it knows) that may use the schema after this step. The rules of older code
   * are dropped by it.
   */
  readonly oldestCode: number
  /** What it does to the tables, as the files of `sql/tables` say it; undefined if only rules change. */
  readonly tables?: string | undefined
}
