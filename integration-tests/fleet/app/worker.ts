/**
 * A worker process of a fleet. It prints when it is ready. Lines on its standard input change the faults of its SQS.
 */
import { createErrand, defineWorker } from '@errand/core'
import { logFromUrl } from '../../services/logs.ts'
import { openDriver } from './driver.ts'
import { effectsIn } from './effects.ts'
import { withFailpoint } from './failpoint.ts'
import { flowHandlers } from './flow-handlers.ts'
import { fleetHandlers } from './handlers.ts'
import { onLine } from './leash.ts'

const { env } = process
const url = env['ERRAND_LOG'] ?? ''
const ledger = env['LEDGER'] ?? ''
const effects = effectsIn(url)
const { driver, disturb } = await openDriver(env)
onLine(disturb)

let isReady = false
const log = withFailpoint(logFromUrl(url), env['ERRAND_FAILPOINT'], () => isReady)
const errand = createErrand({ log, driver })
const worker = errand.work(
  defineWorker({
    concurrency: Number(env['CONCURRENCY'] ?? 10),
    lease: Number(env['LEASE_MS'] ?? 2_000),
    grace: Number(env['GRACE_MS'] ?? 5_000),
    handlers: [...fleetHandlers(ledger, effects, env['VERSION'] === '2'), ...flowHandlers(ledger, effects)],
  }),
  { queues: (env['QUEUES'] ?? 'work').split(',') },
)
await worker.ready
console.log(`ready ${worker.id}`)
isReady = true
await worker.finished
await errand.close()
