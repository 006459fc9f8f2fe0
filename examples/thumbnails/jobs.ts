import { defineJob, exponential } from 'errand'
import { z } from 'zod'

// What may be done. Web application and workers both import this; it has no handler and no connection.
export const makeThumbnail = defineJob({
  name: 'media.make-thumbnail',
  queue: 'media',
  timeout: '30s',
  payload: z.object({ file: z.string(), width: z.number().int().positive().default(320) }),
  returns: z.object({ path: z.string() }),
  retry: { attempts: 5, backoff: exponential('1s', { max: '10m' }) },
})
