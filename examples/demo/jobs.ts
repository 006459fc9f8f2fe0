import { defineJob } from 'errand'
import { z } from 'zod'

const queue = 'pictures'
export const formats = ['webp', 'avif'] as const

/** Paths are absolute: dispatcher and workers share a disk here, where a fleet would share a bucket. */
const image = z.object({ width: z.number(), height: z.number(), bytes: z.number() })
const rendition = image.extend({ file: z.string(), format: z.string() })
const picture = z.object({ name: z.string(), renditions: z.array(rendition) })
export type Image = z.infer<typeof image>
export type Rendition = z.infer<typeof rendition>
export type Picture = z.infer<typeof picture>

export const resize = defineJob({
  name: 'pictures.resize',
  queue,
  timeout: '1m',
  payload: z.object({
    source: z.string(),
    target: z.string(),
    width: z.number().int().positive(),
    format: z.enum(formats),
  }),
  returns: image,
  tags: ({ format }) => [format],
})

/** Makes a picture half as wide from the one before it in its row: so the jobs of one row must run in order. */
export const halve = defineJob({
  name: 'pictures.halve',
  queue,
  timeout: '1m',
  payload: z.object({ row: z.string(), source: z.string(), target: z.string() }),
  returns: image,
  order: { key: ({ row }) => row },
})

/** What an order of prints is made of, in this order. */
export const orderSteps = ['charge', 'print', 'ship'] as const

export const orderPrints = defineJob({
  name: 'pictures.order-prints',
  queue,
  timeout: '1m',
  payload: z.object({ sheet: z.string() }),
})

export const makeContactSheet = defineJob({
  name: 'pictures.contact-sheet',
  queue,
  timeout: '1m',
  payload: z.object({
    target: z.string(),
    pictures: z.array(picture),
    credits: z.string().optional(),
  }),
  returns: z.object({ target: z.string() }),
})
