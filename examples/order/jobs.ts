import { defineJob, defineMessage } from 'errand'
import { z } from 'zod'

export const fulfilOrder = defineJob({
  name: 'order.fulfil',
  queue: 'orders',
  payload: z.object({ order: z.string(), cents: z.int().positive(), address: z.string() }),
  returns: z.object({ state: z.enum(['shipped', 'refunded']), why: z.string().optional() }),
  // An order that is placed twice is one job, also after it was shipped.
  unique: { key: ({ order }) => order, for: '30d' },
  tags: ({ order }) => [order],
})

/** What a person decides about a large order. */
export const decided = defineMessage({
  name: 'order.decided',
  payload: z.object({ approved: z.boolean(), by: z.string() }),
})
