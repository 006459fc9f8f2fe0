/** A worker process whose jobs have a limit. It prints when it is ready. */
import { setTimeout as sleep } from 'node:timers/promises'
import { createErrand, defineWorker, handle } from '@errand/core'
import { logFromUrl } from '../../services/logs.ts'
import { openDriver } from './driver.ts'
import { note } from './ledger.ts'
import { limitedJob } from './limited-jobs.ts'

const { env, pid } = process
const ledger = env['LEDGER'] ?? ''

const { driver } = await openDriver(env)
const errand = createErrand({ log: logFromUrl(env['ERRAND_LOG'] ?? ''), driver })
const worker = errand.work(
  defineWorker({
    lease: Number(env['LEASE_MS'] ?? 2_000),
    concurrency: 10,
    handlers: [
      handle(limitedJob(env['LIMIT'] ?? '{}'), async ({ tenant, ms }, { job, run }) => {
        const line = { jobId: job.id, run, pid, tenant }
        note(ledger, { ...line, mark: 'began', at: Date.now() })
        await sleep(ms)
        note(ledger, { ...line, mark: 'ended', at: Date.now() })
      }),
    ],
  }),
  { queues: ['work'] },
)
await worker.ready
console.log(`ready ${worker.id}`)
await worker.finished
await errand.close()
