/**
 * A process that dispatches one job after another until SIGTERM, and prints each one when it is answered. A dispatch without
 * an answer is repeated with its id. It reads `pause`, `resume` and the rates of SQS' faults from its standard input.
 * `JOBS` names the plan.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { createErrand, isErrandError } from '@errand/core'
import { logFromUrl } from '../../services/logs.ts'
import { answered } from './answered.ts'
import { openDriver } from './driver.ts'
import { withFailpoint } from './failpoint.ts'
import { withGrace } from './grace.ts'
import { onLine } from './leash.ts'
import { plans } from './plans.ts'
import type { Plan } from './plans.ts'
import { disturbed } from './tickets.ts'

const { env } = process
const everyMs = Number(env['EVERY_MS'] ?? 50)
const plan: Plan = plans[env['JOBS'] as keyof typeof plans]
const { driver, disturb } = await openDriver(env)
const log = withGrace(logFromUrl(env['ERRAND_LOG'] ?? ''), Number(env['PUBLISH_GRACE_MS'] ?? 30_000))
const errand = createErrand({
  log: withFailpoint(log, env['ERRAND_FAILPOINT']),
  driver: await disturbed(driver, env['TICKETS']),
  createLog: env['CREATE_LOG'] !== 'false',
})
const stop = new AbortController()
const asked = { isOver: () => stop.signal.aborted, refused: (text: string) => console.log(`refused ${text}`) }
process.once('SIGTERM', () => stop.abort())
/** Dispatches and cancellations that are under way. */
const open = new Set<Promise<void>>()
let paused = env['PAUSED'] === 'true'
let n = 0
onLine((line) => {
  if (line.startsWith('{')) return disturb(line)
  paused = line === 'pause'
  // Every `pause` is answered, also a second one.
  if (paused) void allAnswered().then(() => console.log('paused'))
})

async function allAnswered(): Promise<void> {
  while (open.size > 0) await Promise.all(open)
}

function track(doing: Promise<void>): Promise<void> {
  const tracked = doing.finally(() => open.delete(tracked))
  open.add(tracked)
  return tracked
}

async function dispatchOne(): Promise<void> {
  const id = randomUUID()
  const turn = (n += 1)
  const sinceMs = performance.now()
  const dispatched = await answered(() => plan(errand, turn, id), asked)
  if (dispatched === undefined) return
  console.log(`dispatched ${dispatched.id} ${Math.round(performance.now() - sinceMs)}`)
  const { cancelAfterMs } = dispatched
  if (cancelAfterMs === undefined) return
  void track(
    sleep(cancelAfterMs).then(
      async () =>
        void (await answered(() => errand.jobs.cancel(dispatched.id, { by: 'the dispatcher' }), asked)),
    ),
  )
}

/** Dispatches one job after another. Several of these run at the same time, like several requests of one application. */
async function dispatchOn(): Promise<void> {
  while (!stop.signal.aborted) {
    const sinceMs = performance.now()
    if (!paused) await track(dispatchOne())
    const restMs = paused ? 20 : Math.max(0, sinceMs + everyMs - performance.now())
    await sleep(restMs, undefined, { signal: stop.signal }).catch(() => undefined)
  }
}

await errand.connect().catch((error: unknown) => {
  // It is tried again with each dispatch.
  if (!isErrandError(error, 'E_READ_ONLY')) throw error
})
console.log(`ready ${process.pid}`)
await Promise.all(Array.from({ length: Number(env['LINES'] ?? 1) }, dispatchOn))
await allAnswered()
await errand.close()
