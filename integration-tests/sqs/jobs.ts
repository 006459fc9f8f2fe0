import { defineJob } from '@errand/core'
import { z } from 'zod'

export const queue = 'sqs'

/** Takes this many milliseconds. */
export const work = defineJob({
  name: 'sqs.work',
  queue,
  payload: z.object({ ms: z.number().default(0) }),
  timeout: '1m',
})
