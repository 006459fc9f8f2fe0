import { createErrand } from 'errand'
import config from './errand.config.ts'
import { syncTenant } from './jobs.ts'

// What an application does when tenants sign up: each has a schedule of its own, which every worker that handles the job ticks.
// Doing it again changes nothing. In a transaction of yours: { by: 'sign-up', tx }.
await using errand = createErrand(config)
for (const tenant of process.argv.slice(2)) {
  await errand.schedules.set(
    { name: `shop.sync:${tenant}`, job: syncTenant, every: '5s', payload: { tenant } },
    'sign-up',
  )
}
for (const { name, times, next } of await errand.schedules.list())
  console.log(`${name} (${times}) comes next at ${next?.toISOString()}`)
