import { isErrandError } from '../errors.ts'
import type { JobStore } from './store.ts'

/**
 * No rule can work with the row of one job: another program or an older version wrote it. Stores throw this for a row that
 * they cannot read, rules for one that they cannot change. The transaction is undone, the job is set aside, and its
 * neighbours go on.
 */
export class DamagedRow extends Error {
  readonly id: string

  constructor(id: string, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause })
    this.name = 'DamagedRow'
    this.id = id
  }
}

/** Does something with one row. If its data is the reason of an error, the error names the row. */
export function withRow<T>(store: JobStore, id: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (error instanceof DamagedRow || isErrandError(error) || !store.isRefusedData(error)) throw error
    throw new DamagedRow(id, error)
  }
}
