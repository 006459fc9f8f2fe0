import { brokerStories } from './stories/broker.ts'
import { databaseStories } from './stories/database.ts'
import { failoverStories } from './stories/failover.ts'
import { flowStories } from './stories/flows.ts'
import { handlerStories } from './stories/handlers.ts'
import { jobStories } from './stories/jobs.ts'
import { limitStories } from './stories/limits.ts'
import { scheduleStories } from './stories/schedules.ts'
import { ticketStories } from './stories/tickets.ts'
import { workerStories } from './stories/workers.ts'
import type { Story } from './story.ts'

/** All stories. They happen in this order to one fleet. */
export const stories: readonly Story[] = [
  ...workerStories,
  ...handlerStories,
  ...ticketStories,
  ...brokerStories,
  ...databaseStories,
  ...failoverStories,
  ...jobStories,
  ...scheduleStories,
  ...limitStories,
  ...flowStories,
]
