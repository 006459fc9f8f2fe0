import { defineJob, fixed } from '@errand/core'
import { z } from 'zod'

const payload = z.object({
  n: z.number(),
  ms: z.number(),
  /** It fails so often, and for good if that is as often as it may run. */
  failures: z.number(),
  /** It adds so many jobs to its flow. */
  adds: z.number(),
})
export type PartPayload = z.infer<typeof payload>

const common = {
  queue: 'work',
  payload,
  crashes: 1_000,
  retry: { attempts: 3, backoff: fixed('20ms') },
} as const

/** A job of a flow. */
export const part = defineJob({ ...common, name: 'fleet.part' })

/** The same, with an ordering key. */
export const orderedPart = defineJob({
  ...common,
  name: 'fleet.ordered-part',
  order: { key: ({ n }) => `key-${n % 5}`, onFailure: 'skip' },
})
