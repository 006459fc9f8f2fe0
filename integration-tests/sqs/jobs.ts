import { defineJob } from '@errand/core'
import { z } from 'zod'

export const queue = 'sqs'

/** Ends at once, or after `ms`, or if it is held, when the test lets it go. */
export const work = defineJob({
  name: 'sqs.work',
  queue,
  payload: z.object({ held: z.boolean().default(false), ms: z.number().default(0) }),
  timeout: '10m',
})
