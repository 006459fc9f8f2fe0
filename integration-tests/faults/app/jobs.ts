// Jobs that do what jobs must not do, beside those of the fleet.
import { defineJob, fixed } from '@errand/core'
import { z } from 'zod'

const none = z.object({})
const again = { attempts: 10, backoff: fixed('20ms') }

/** Writes a row, and completes in the same transaction: the row is there once, whatever happens. */
export const paid = defineJob({
  name: 'faults.paid',
  queue: 'work',
  payload: z.object({ n: z.number(), ms: z.number().default(0) }),
  retry: again,
  crashes: 10,
  timeout: '30s',
})

/** Runs until the test opens its gate. */
export const held = defineJob({
  name: 'faults.held',
  queue: 'work',
  payload: z.object({ gate: z.string() }),
  retry: again,
  crashes: 10,
  timeout: '2m',
})

/** The same, and never started again once its end is unknown. */
export const heldOnce = defineJob({
  name: 'faults.held-once',
  queue: 'work',
  payload: z.object({ gate: z.string() }),
  onCrash: 'fail',
  retry: { attempts: 1 },
  timeout: '2m',
})

/** Waits for what never comes; ends when it is told to. */
export const stuck = defineJob({
  name: 'faults.stuck',
  queue: 'risky',
  payload: none,
  timeout: '500ms',
  retry: { attempts: 2, backoff: fixed('20ms') },
})

/** Hears no signal, and goes on until the test opens its gate. */
export const deaf = defineJob({
  name: 'faults.deaf',
  queue: 'risky',
  payload: z.object({ gate: z.string() }),
  timeout: '500ms',
  retry: { attempts: 1 },
})

/** Rejects beside the promise of its handler. */
export const rejecting = defineJob({ name: 'faults.rejecting', queue: 'risky', payload: none, crashes: 2 })

/** Takes memory until there is no more. */
export const greedy = defineJob({ name: 'faults.greedy', queue: 'risky', payload: none, crashes: 2 })

/** Ends its process. */
export const suicidal = defineJob({ name: 'faults.suicidal', queue: 'risky', payload: none, crashes: 2 })

/** Fails for good at the head of its ordering key. */
const hopelessWith = (name: string, onFailure: 'block' | 'skip') =>
  defineJob({
    name,
    queue: 'work',
    payload: z.object({ key: z.string(), fails: z.boolean() }),
    order: { key: ({ key }) => key, onFailure },
    retry: { attempts: 2, backoff: fixed('20ms') },
  })
export const blocking = hopelessWith('faults.blocking', 'block')
export const skipping = hopelessWith('faults.skipping', 'skip')

/** Known to workers of version 2 alone. */
export const novel = defineJob({ name: 'faults.novel', queue: 'deploy', payload: none })

/** Its payload was changed from version 1 to 2, and neither version can read the other's. */
export const grown = {
  1: defineJob({ name: 'faults.grown', queue: 'deploy', payload: z.strictObject({ n: z.number() }) }),
  2: defineJob({ name: 'faults.grown', queue: 'deploy', payload: z.strictObject({ total: z.number() }) }),
} as const

/** Carries whatever it is given. */
export const carrying = defineJob({
  name: 'faults.carrying',
  queue: 'work',
  payload: z.object({ text: z.string() }),
})
