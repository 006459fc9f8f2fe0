/**
 * A process that dispatches one job after another, of every kind, until SIGTERM, cancels some of them, and says of each one
 * when it was answered. What is not answered is dispatched again with its id. Told `pause` and `resume` on its standard
 * input, and the rates of SQS' faults as JSON.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { createErrand, isErrandError } from '@errand/core'
import { logFromUrl } from '../../services/logs.ts'
import { driverOf } from '../../faults/app/driver.ts'
import { blocking, paid, skipping } from '../../faults/app/jobs.ts'
import { onLine } from '../../faults/app/leash.ts'
import { withGrace } from '../../fleet/app/grace.ts'
import { once, ordered, work } from '../../fleet/app/jobs.ts'

/** Kinds of jobs in their turn: one of each in every round. */
const round = 20
const everyMs = Number(process.env['EVERY_MS'] ?? 50)
const { driver, disturb } = await driverOf(process.env['ERRAND_DRIVER'])
const errand = createErrand({ log: withGrace(logFromUrl(process.env['ERRAND_LOG'] ?? ''), 2_000), driver })
const by = 'the dispatcher'
const stop = new AbortController()
process.once('SIGTERM', () => stop.abort())
let paused = process.env['PAUSED'] === 'true'
let told = false
onLine((line) => {
  if (line.startsWith('{')) return disturb(line)
  paused = line === 'pause'
  // Whoever asks is answered, also the second time.
  told = false
})

/** Dispatches the n-th job; resolves with the id of the job that there is now, and whether it is to be cancelled. */
async function dispatch(
  n: number,
  id: string,
): Promise<{ readonly id: string; readonly cancelAfterMs?: number }> {
  const [kind, turn] = [n % round, Math.floor(n / round)]
  const ms = n % 10
  const failures = turn % 3 === 0 ? 1 + (turn % 2) : 0
  switch (kind) {
    case 0:
      return errand.dispatch(once, { n, ms: turn % 4 === 0 ? 800 : ms }, { id })
    case 1:
    case 2:
      return errand.dispatch(paid, { n, ms }, { id })
    case 3:
    case 4:
    case 5:
    case 6:
      return errand.dispatch(ordered, { n, key: `key-${n % 5}`, failures, ms }, { id })
    case 7:
      return errand.dispatch(skipping, { key: `skip-${turn % 2}`, fails: turn % 3 === 0 }, { id })
    case 8:
      // Every fourth job of a key fails for good, and the two behind it wait until an operator skips it.
      return errand.dispatch(
        blocking,
        { key: `${process.pid}-${Math.floor(turn / 4)}`, fails: turn % 4 === 1 },
        { id },
      )
    case 9:
      return errand.dispatch(work, { n, failures, ms }, { id, delay: 500 + (n % 4) * 500 })
    case 10:
    case 11:
      return errand.dispatch(work, { n, failures: 0, ms: 200 }, { id, uniqueKey: `unique-${turn % 2}` })
    case 12:
      await errand.dispatch(work, { n, failures: 0, ms }, { id, delay: '1m' })
      return { id, cancelAfterMs: 0 }
    case 13:
      await errand.dispatch(work, { n, failures: 0, ms: 2_000 }, { id })
      return turn % 2 === 0 ? { id, cancelAfterMs: 500 } : { id }
    case 14:
      return errand.dispatch(work, { n, failures: 0, ms: 2_000 }, { id, lane: 'low' })
    case 15:
      return errand.dispatch(work, { n, failures, ms }, { id, lane: 'high' })
    default:
      return errand.dispatch(work, { n, failures, ms }, { id })
  }
}

/** The log may be away for a while, or say nothing of a commit. */
function isOfTheLog(error: unknown): boolean {
  return (['E_LOG_UNREACHABLE', 'E_DISPATCH_UNKNOWN', 'E_LOG'] as const).some((code) =>
    isErrandError(error, code),
  )
}

async function until<T>(act: () => Promise<T>): Promise<T | undefined> {
  while (!stop.signal.aborted) {
    try {
      return await act()
    } catch (error) {
      if (!isOfTheLog(error)) throw error
      await sleep(100)
    }
  }
  return undefined
}

async function dispatchUntilAnswered(n: number): Promise<void> {
  const id = randomUUID()
  const dispatched = await until(() => dispatch(n, id))
  if (dispatched === undefined) return
  console.log(`dispatched ${dispatched.id}`)
  if (dispatched.cancelAfterMs === undefined) return
  await sleep(dispatched.cancelAfterMs)
  await until(() => errand.jobs.cancel(dispatched.id, { by }))
}

await errand.connect()
console.log(`ready ${process.pid}`)
/** Dispatches and cancellations that are under way. */
const open = new Set<Promise<void>>()
for (let n = 0; !stop.signal.aborted;) {
  if (paused) {
    await Promise.all(open)
    if (!told) console.log('paused')
    told = true
    await sleep(20)
    continue
  }
  told = false
  const dispatching = dispatchUntilAnswered(n).finally(() => open.delete(dispatching))
  open.add(dispatching)
  // A log that is away is not to find a heap of dispatches when it comes back.
  if (open.size > 4) await Promise.race(open)
  n += 1
  await sleep(everyMs, undefined, { signal: stop.signal }).catch(() => undefined)
}
await Promise.all(open)
await errand.close()
