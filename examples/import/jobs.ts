import { defineJob } from 'errand'
import { z } from 'zod'

const queue = 'imports'

/** Reads the file, and adds a job for every 500 rows of it. */
export const readFile = defineJob({
  name: 'import.read',
  queue,
  payload: z.object({ file: z.string() }),
})

export const importRows = defineJob({
  name: 'import.rows',
  queue,
  payload: z.object({ part: z.int(), rows: z.array(z.string()) }),
})

/** `flow` is the import's own id. */
export const report = defineJob({
  name: 'import.report',
  queue,
  payload: z.object({ file: z.string(), flow: z.uuid() }),
})
