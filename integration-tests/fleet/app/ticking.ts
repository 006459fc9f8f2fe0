/** A worker process with schedules, as of one of two versions of the application. It prints when it is ready. */
import { createErrand, defineSchedule, defineWorker } from '@errand/core'
import type { ScheduleDefinition } from '@errand/core'
import { logFromUrl } from '../../services/logs.ts'
import { openDriver } from './driver.ts'
import { fleetHandlers } from './handlers.ts'
import { ticked } from './jobs.ts'

const { env } = process
const [quickMs, slowMs, count] = JSON.parse(env['SCHEDULES'] ?? '[]') as [number, number, number]

const every = (name: string, ms: number): ScheduleDefinition =>
  defineSchedule({ name, job: ticked, every: ms, payload: ({ at }) => ({ name, at: at.getTime() }) })

const schedules = [
  every('quick', quickMs),
  ...Array.from({ length: count }, (_, index) => every(`slow-${index}`, slowMs)),
  // Each version has one of its own.
  every(`only-${env['VERSION'] ?? ''}`, slowMs),
]

const { driver } = await openDriver(env)
const errand = createErrand({ log: logFromUrl(env['ERRAND_LOG'] ?? ''), driver })
const worker = errand.work(
  defineWorker({
    lease: Number(env['LEASE_MS'] ?? 2_000),
    handlers: fleetHandlers(env['LEDGER'] ?? ''),
    schedules,
  }),
  { queues: ['work'] },
)
await worker.ready
console.log(`ready ${worker.id}`)
await worker.finished
await errand.close()
