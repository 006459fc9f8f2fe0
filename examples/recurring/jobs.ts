import { defineJob } from 'errand'
import { z } from 'zod'

export const closeDay = defineJob({ name: 'shop.close-day', payload: z.object({ day: z.iso.date() }) })
export const syncTenant = defineJob({ name: 'shop.sync', payload: z.object({ tenant: z.string() }) })
