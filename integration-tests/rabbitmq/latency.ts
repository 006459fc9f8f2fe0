// How long an idle system takes from dispatch to start: `node integration-tests/rabbitmq/latency.ts`, in a quiet moment.
// Uses ERRAND_TEST_POSTGRES and ERRAND_TEST_AMQP, or what answers on the usual ports of this machine.
import { randomBytes } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createErrand } from '@errand/core'
import { systemClock } from '@errand/core/ports'
import { logFromUrl } from '../services/logs.ts'
import { quietLogger } from '@errand/testkit'
import { work } from '../fleet/app/jobs.ts'
import { startWorker } from '../fleet/member.ts'
import { withParameters } from '../fleet/urls.ts'
import { onServer } from '../services/private-postgres.ts'
import { deleteQueues, driverUrl } from './broker.ts'

const jobs = 300
const postgres = process.env['ERRAND_TEST_POSTGRES'] ?? 'postgres://postgres@127.0.0.1:5432/postgres'
const amqp = process.env['ERRAND_TEST_AMQP'] ?? 'amqp://guest:guest@127.0.0.1:5672'
const name = `latency_${randomBytes(4).toString('hex')}`
const url = withParameters(postgres, { schema: name })
const driver = driverUrl(amqp, name)

const log = logFromUrl(url).open({ clock: systemClock, logger: quietLogger })
await log.migrate()
const env = {
  ERRAND_LOG: url,
  ERRAND_DRIVER: driver,
  LEDGER: join(tmpdir(), name),
  LEASE_MS: '30000',
}
const worker = await startWorker(env, { finally: () => {} })
const errand = createErrand({ log: url, driver, logger: quietLogger })

const latencies: number[] = []
for (let n = -20; n < jobs; n += 1) {
  const receipt = await errand.dispatch(work, { n, failures: 0, ms: 0 })
  await errand.result(receipt)
  // Idle again, for a random time.
  await sleep(10 + Math.random() * 40)
  if (n < 0) continue
  const events = await log.readHistory(receipt.id)
  const at = (type: string): number => events.find((event) => event.type === type)?.at ?? Number.NaN
  latencies.push(at('started') - at('dispatched'))
}
worker.signal('SIGTERM')
await worker.exited
await errand.close()
await log.close()
await deleteQueues(amqp, name, ['work'])
await onServer(postgres, (client) => client.query(`drop schema ${name} cascade`))

const sorted = latencies.toSorted((a, b) => a - b)
const quantile = (part: number): string =>
  (sorted[Math.floor(part * (sorted.length - 1))] ?? Number.NaN).toFixed(1)
console.log(
  `dispatch to start, idle, ${sorted.length} jobs: median ${quantile(0.5)} ms, p90 ${quantile(0.9)} ms, p99 ${quantile(0.99)} ms`,
)
