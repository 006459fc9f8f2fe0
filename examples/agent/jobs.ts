import { defineJob, fixed } from 'errand'
import { z } from 'zod'

export const answer = defineJob({
  name: 'agent.answer',
  queue: 'agents',
  payload: z.object({ question: z.string() }),
  returns: z.object({ answer: z.string() }),
  // The model fails at times. Each attempt goes on at the call that failed.
  retry: { attempts: 10, backoff: fixed('100ms') },
})
