import { defineWorker, handle } from 'errand'
import { slow } from './jobs.ts'

export default defineWorker({
  handlers: [
    handle(slow, async (_payload, ctx) => {
      ctx.log.info({}, 'it has begun')
      // So long that a process which does not let it finish would end before.
      await new Promise((resolve) => ctx.stopping.addEventListener('abort', resolve))
      await new Promise((resolve) => setTimeout(resolve, 1_000))
    }),
  ],
})
