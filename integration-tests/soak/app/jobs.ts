import { defineJob } from '@errand/core'
import { z } from 'zod'

/** About the size of a small real payload. */
export const noop = defineJob({
  name: 'soak.noop',
  queue: 'deep',
  payload: z.object({ n: z.number(), text: z.string() }),
})

/** Holds a slot of its worker until the gate is opened. */
export const gate = defineJob({ name: 'soak.gate', queue: noop.queue, timeout: 'none' })
