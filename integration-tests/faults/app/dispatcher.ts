/**
 * A process that dispatches one job after another, of every kind, until SIGTERM, and says of each one when it was
 * answered. What is not answered is dispatched again with its id. Told `pause` and `resume` on its standard input.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { createErrand, isErrandError } from '@errand/core'
import type { Errand } from '@errand/core'
import { logFromUrl } from '../../services/logs.ts'
import { withGrace } from '../../fleet/app/grace.ts'
import { once, ordered, work } from '../../fleet/app/jobs.ts'
import { driverOf } from './driver.ts'
import { withFailpoint } from './failpoint.ts'
import { paid } from './jobs.ts'
import { onLine } from './leash.ts'
import { disturbed } from './tickets.ts'

const everyMs = Number(process.env['EVERY_MS'] ?? 50)
const { driver, disturb } = await driverOf(process.env['ERRAND_DRIVER'])
const log = withGrace(logFromUrl(process.env['ERRAND_LOG'] ?? ''), 2_000)
const errand = createErrand({
  log: withFailpoint(log, process.env['ERRAND_FAILPOINT']),
  driver: await disturbed(driver, process.env['TICKETS']),
  createLog: process.env['CREATE_LOG'] !== 'false',
})
const stop = new AbortController()
process.once('SIGTERM', () => stop.abort())
let paused = process.env['PAUSED'] === 'true'
onLine((line) => {
  if (line.startsWith('{')) disturb(line)
  else paused = line === 'pause'
})

function dispatchOne(n: number, id: string): ReturnType<Errand['dispatch']> {
  const ms = n % 10
  const failures = n % 14 === 3 ? 1 : 0
  if (n % 10 === 0) return errand.dispatch(once, { n, ms }, { id })
  if (n % 10 === 1) return errand.dispatch(paid, { n, ms }, { id })
  if (n % 10 < 6) return errand.dispatch(ordered, { n, key: `key-${n % 5}`, failures, ms }, { id })
  return errand.dispatch(work, { n, failures, ms }, { id, lane: n % 3 === 0 ? 'high' : 'normal' })
}

async function dispatchUntilAnswered(n: number): Promise<void> {
  const id = randomUUID()
  for (;;) {
    try {
      await dispatchOne(n, id)
      console.log(`dispatched ${id}`)
      return
    } catch (error) {
      const known = (['E_LOG_UNREACHABLE', 'E_DISPATCH_UNKNOWN', 'E_LOG', 'E_READ_ONLY'] as const).find(
        (code) => isErrandError(error, code),
      )
      if (known === undefined) throw error
      console.log(`refused ${known}: ${(error as Error).message}`)
      if (stop.signal.aborted) return
      await sleep(100)
    }
  }
}

let n = 0
let isTold = false

/** One job after another; several such lines are several requests of one application. */
async function dispatchOn(): Promise<void> {
  while (!stop.signal.aborted) {
    if (paused) {
      if (!isTold) console.log('paused')
      isTold = true
      await sleep(20)
      continue
    }
    isTold = false
    await dispatchUntilAnswered((n += 1))
    await sleep(everyMs, undefined, { signal: stop.signal }).catch(() => undefined)
  }
}

await errand.connect().catch((error: unknown) => {
  // It is tried again with each dispatch.
  if (!isErrandError(error, 'E_READ_ONLY')) throw error
})
console.log(`ready ${process.pid}`)
await Promise.all(Array.from({ length: Number(process.env['LINES'] ?? 1) }, dispatchOn))
await errand.close()
