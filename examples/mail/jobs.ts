import { defineJob, defineLimit } from 'errand'
import { z } from 'zod'

// What the mail API allows each tenant. All workers together keep to it, however many they are.
const mailApi = defineLimit({
  name: 'mail-api',
  key: ({ tenant }: { tenant: string }) => tenant,
  concurrency: { perKey: 5 },
  rate: { perKey: { max: 20, per: '1s' } },
})

export const sendMail = defineJob({
  name: 'mail.send',
  // Of its own: a job that was let go must not stand behind other jobs with its place.
  queue: 'mail',
  payload: z.object({ tenant: z.string(), to: z.email() }),
  limit: mailApi,
})
