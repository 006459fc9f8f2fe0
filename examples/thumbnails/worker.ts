import { defineWorker, handle } from 'errand'
import { makeThumbnail } from './jobs.ts'
import { resize } from './resize.ts'

// How it is done. Only workers load this.
export default defineWorker({
  concurrency: { media: 4 },
  handlers: [
    handle(makeThumbnail, async ({ file, width }, ctx) => ({ path: await resize(file, width, ctx.signal) })),
  ],
})
