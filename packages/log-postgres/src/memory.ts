import type { Memory } from '@errand/core/ports'
import type { Database } from './database.ts'

/** What jobs remember, and messages to them. */
export function memory(_database: Database): Memory {
  const later = async (): Promise<never> => {
    throw new RangeError('not built yet')
  }
  return { remember: later, recall: later, rememberInside: later, memory: later, send: later }
}
