import { batcher } from '../batching.ts'
import type { Settings } from '../config/defaults.ts'
import type { JobLog } from '../ports/job-log.ts'

/** Whether a job has yet to end; false as well for one that nobody knows. Rejects with what the log throws. */
export type Unfinished = (id: string) => Promise<boolean>

/** Those who wait for a result look at the same moments, each time that anything happens: they ask the log together. */
export function unfinishedOf(log: JobLog, { batchItems }: Pick<Settings, 'batchItems'>): Unfinished {
  const questions = batcher<string, boolean>({
    run: async (ids) => {
      const unfinished = new Set(await log.unfinished(ids))
      return ids.map((id) => unfinished.has(id))
    },
    maxItems: batchItems,
  })
  return (id) => questions.add(id)
}
