/**
 * A process that only dispatches: one job every few milliseconds, until it is told to end by SIGTERM. Then it says how
 * many there were.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { createErrand } from '@errand/core'
import { work } from './jobs.ts'

const errand = createErrand()
const everyMs = Number(process.env['EVERY_MS'] ?? 20)
const stop = new AbortController()
process.once('SIGTERM', () => stop.abort())

let dispatched = 0
await errand.connect()
console.log(`ready ${process.pid}`)
while (!stop.signal.aborted) {
  await errand.dispatch(work, { n: dispatched, failures: 0, ms: 5 })
  dispatched += 1
  await sleep(everyMs, undefined, { signal: stop.signal }).catch(() => undefined)
}
await errand.close()
console.log(`dispatched ${dispatched}`)
