import { defineSchedule, defineWorker, handle } from 'errand'
import { closeDay, syncTenant } from './jobs.ts'

// A schedule of the code lives as long as workers list it below. However many they are, each night has one job.
const closeDays = defineSchedule({
  name: 'shop.close-day',
  job: closeDay,
  cron: '30 2 * * *',
  zone: 'Europe/Berlin',
  // The day that has ended when it ticks.
  payload: ({ at }) => ({ day: new Date(at.getTime() - 86_400_000).toISOString().slice(0, 10) }),
  overlap: 'skip',
})

export default defineWorker({
  handlers: [
    // `tick.at` is the moment that it is for, however late it runs; `tick.missed` how many nights nobody was there.
    handle(closeDay, ({ day }, { tick }) => console.log(`closed ${day}, ${tick?.missed} missed before it`)),
    handle(syncTenant, ({ tenant }, { tick }) =>
      console.log(`synced ${tenant} for ${tick?.at.toISOString()}`),
    ),
  ],
  schedules: [closeDays],
})
