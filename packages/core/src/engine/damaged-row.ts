import { isErrandError } from '../errors.ts'
import type { JobStore } from './store.ts'

/**
 * The row of one job cannot be worked with: somebody else wrote it, or an older version. Stores throw it for what they
 * cannot read, rules for what they cannot do. The transaction is undone, the job is set aside, and its neighbours go on.
 */
export class DamagedRow extends Error {
  readonly id: string

  constructor(id: string, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause })
    this.name = 'DamagedRow'
    this.id = id
  }
}

/** Does something with one row. What its data is to blame for is thrown with its name. */
export function withRow<T>(store: JobStore, id: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (error instanceof DamagedRow || isErrandError(error) || !store.isRefusedData(error)) throw error
    throw new DamagedRow(id, error)
  }
}
