/** A worker process of the test fleet. Says on its standard output when it is ready. */
import { createErrand, defineWorker } from '@errand/core'
import { fleetHandlers } from './handlers.ts'

const errand = createErrand()
const worker = errand.work(
  defineWorker({
    concurrency: Number(process.env['CONCURRENCY'] ?? 10),
    lease: Number(process.env['LEASE_MS'] ?? 2_000),
    grace: Number(process.env['GRACE_MS'] ?? 5_000),
    handlers: fleetHandlers(process.env['LEDGER'] ?? ''),
  }),
  { queues: (process.env['QUEUES'] ?? 'work').split(',') },
)
await worker.ready
console.log(`ready ${worker.id}`)
await worker.finished
await errand.close()
