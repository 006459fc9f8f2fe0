/**
 * Prints how much CPU this process takes for jobs that somebody in it waits for, and for the same jobs without a waiter: each
 * the best of several turns. Whatever else the machine does only adds to it, so turns go on until the bound holds, or are over.
 */
import { createErrand, defineJob, handle } from '@errand/core'
import { quietLogger, until } from '@errand/testkit'

const [url = '', bound = '1.3'] = process.argv.slice(2)
const count = 2_000
const mostTurns = 12
const job = defineJob({ name: 'waiters', queue: 'waiters' })

async function cpuMs(waited: boolean): Promise<number> {
  await using errand = createErrand({ log: url, logger: quietLogger })
  let ran = 0
  const handler = handle(job, () => void (ran += 1))
  const worker = errand.work({ concurrency: 50, handlers: [handler] }, { signals: false })
  await worker.ready
  const before = process.cpuUsage()
  const receipts = await errand.dispatchMany(Array.from({ length: count }, () => job.with(undefined)))
  const results = waited ? Promise.all(receipts.map((receipt) => errand.result(receipt))) : undefined
  await until(() => ran === count, { what: 'all jobs have run', withinMs: 60_000 })
  await results
  await worker.stop()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1_000
}

// The first turns compile.
await cpuMs(true)
await cpuMs(false)
const best = { waited: Number.POSITIVE_INFINITY, plain: Number.POSITIVE_INFINITY }
for (let turn = 0; turn < mostTurns; turn += 1) {
  best.waited = Math.min(best.waited, await cpuMs(true))
  best.plain = Math.min(best.plain, await cpuMs(false))
  if (best.waited <= best.plain * Number(bound)) break
}
console.log(JSON.stringify(best))
