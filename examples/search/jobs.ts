import { defineJob } from 'errand'
import { z } from 'zod'

export const indexDocument = defineJob({
  name: 'search.index',
  queue: 'search',
  payload: z.object({ tenant: z.string(), document: z.string(), text: z.string() }),
  // People save every few seconds. A document is indexed when nobody has saved it for a second, and at the latest after ten: with the
  // newest text, once.
  unique: { key: ({ document }) => document, debounce: { wait: '1s', atMost: '10s' } },
  // A tenant that imports thousands of documents does not hold up the others.
  share: ({ tenant }) => tenant,
})
