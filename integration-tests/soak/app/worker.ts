/** A worker process of the soak, with the handlers of the jobs that its dispatcher dispatches. */
import { setTimeout as sleep } from 'node:timers/promises'
import { createErrand, defineWorker, handle } from '@errand/core'
import { driverOf } from '../../faults/app/driver.ts'
import { effectsIn } from '../../faults/app/effects.ts'
import { blocking, paid, skipping } from '../../faults/app/jobs.ts'
import { onLine } from '../../faults/app/leash.ts'
import { fleetHandlers, notedIn } from '../../fleet/app/handlers.ts'

const log = process.env['ERRAND_LOG'] ?? ''
const ledger = process.env['LEDGER'] ?? ''
const noted = notedIn(ledger)
const effects = effectsIn(log)
const { driver, disturb } = await driverOf(process.env['ERRAND_DRIVER'])
onLine((line) => {
  if (line.startsWith('{')) disturb(line)
})

const fail = ({ fails }: { fails: boolean }): void => {
  if (fails) throw new Error('it always fails')
}
const errand = createErrand({ log, driver })
const worker = errand.work(
  defineWorker({
    concurrency: 10,
    lease: Number(process.env['LEASE_MS']),
    grace: 2_000,
    handlers: [
      ...fleetHandlers(ledger),
      handle(paid, async ({ ms }, ctx) => {
        await noted(ctx, () => sleep(ms, undefined, { signal: ctx.signal }))
        // Beyond the ledger's last line: a commit whose reply is lost throws, and the job has succeeded all the same.
        await effects.write(ctx)
      }),
      handle(blocking, (payload, ctx) => noted(ctx, () => fail(payload))),
      handle(skipping, (payload, ctx) => noted(ctx, () => fail(payload))),
    ],
  }),
  { queues: ['work'] },
)
await worker.ready
console.log(`ready ${worker.id}`)
await worker.finished
await errand.close()
