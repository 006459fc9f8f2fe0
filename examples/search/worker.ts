import { setTimeout as sleep } from 'node:timers/promises'
import { defineWorker, handle } from 'errand'
import { indexDocument } from './jobs.ts'

export default defineWorker({
  concurrency: 1,
  handlers: [
    handle(indexDocument, async ({ tenant, document, text }) => {
      // Stands for the search engine.
      await sleep(20)
      console.log(`indexed ${document} of ${tenant}: ${text}`)
    }),
  ],
})
