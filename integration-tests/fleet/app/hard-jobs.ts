// Jobs that do harm, and jobs that only some workers can run.
import { defineJob, fixed } from '@errand/core'
import { z } from 'zod'

const none = z.object({})
const risky = { queue: 'risky', payload: none } as const

/** Waits for ever; ends when its signal aborts. */
export const stuck = defineJob({
  ...risky,
  name: 'fleet.stuck',
  timeout: '500ms',
  retry: { attempts: 2, backoff: fixed('20ms') },
})

/** Ignores its signal, and goes on until the test opens its gate. */
export const deaf = defineJob({
  ...risky,
  name: 'fleet.deaf',
  payload: z.object({ gate: z.string() }),
  timeout: '500ms',
  retry: { attempts: 1 },
})

/** Rejects beside the promise of its handler. */
export const rejecting = defineJob({ ...risky, name: 'fleet.rejecting', crashes: 2 })

/** Takes memory until there is no more. */
export const greedy = defineJob({ ...risky, name: 'fleet.greedy', crashes: 2 })

/** Ends its process. */
export const suicidal = defineJob({ ...risky, name: 'fleet.suicidal', crashes: 2 })

/** Only workers of version 2 know it. */
export const novel = defineJob({ name: 'fleet.novel', queue: 'deploy', payload: none })

/** Its payload was changed from version 1 to 2, and neither version can read the other's. */
export const grown = {
  1: defineJob({ name: 'fleet.grown', queue: 'deploy', payload: z.strictObject({ n: z.number() }) }),
  2: defineJob({ name: 'fleet.grown', queue: 'deploy', payload: z.strictObject({ total: z.number() }) }),
} as const

/** Takes any payload. */
export const carrying = defineJob({
  name: 'fleet.carrying',
  queue: 'work',
  payload: z.object({ text: z.string() }),
})
