// Two worker processes on one log and one broker, with dispatching going on: what faults are tried on.
import { expect, onTestFinished } from 'vitest'
import type { Errand } from '@errand/core'
import { until } from '@errand/testkit'
import { work } from '../fleet/app/jobs.ts'
import { readLedger } from '../fleet/app/ledger.ts'
import { allEnded, collectIds, pause } from '../fleet/looks.ts'
import { allTake, startsByTicket } from '../fleet/recovery.ts'
import { startWorker } from '../fleet/member.ts'
import type { Member } from '../fleet/member.ts'
import { logs, scene } from '../fleet/shared.ts'
import type { Finally, Scene } from '../fleet/scene.ts'
import { brokerQueue, deleteQueues, driverUrl, findLane, newPrefix } from './broker.ts'

/** A fleet uses what it would use in production, where this run has it. */
export const fleetLog: string = logs.at(-1) ?? 'sqlite'

/** How soon after the broker's return workers take jobs from it again. */
const takingAgainMs = 10_000
/** A lost ticket's job counts as overdue after so long: nobody waits half a minute for each story. */
const publishGraceMs = 2_000

export interface Fleet extends Scene {
  readonly prefix: string
  readonly workers: readonly Member[]
  /** Jobs that were dispatched so far, in their order. */
  readonly dispatched: readonly string[]
  /** The longest that a dispatch has taken so far. */
  readonly slowestDispatchMs: number
  /** Waits until so many more jobs have ended. */
  readonly goesOn: (jobs?: number) => Promise<void>
  /** Within 10 s every worker says that it takes jobs and consumes from the broker, and a job is started from its ticket. */
  readonly takesAgain: () => Promise<void>
  /** No more is dispatched. */
  readonly rest: () => Promise<void>
  /** No more is dispatched; every job ends, and every promise was kept. */
  readonly endsWell: () => Promise<void>
}

export interface FleetOptions {
  /** For the workers. */
  readonly env?: Readonly<Record<string, string>> | undefined
  /** How the dispatcher reaches the broker, where not as the workers do. */
  readonly dispatcherUrl?: string | undefined
  /** Default: when the test has finished. */
  readonly finally?: Finally | undefined
}

/** @param broker its URL, past every proxy. */
export async function startFleet(broker: string, options: FleetOptions = {}): Promise<Fleet> {
  const { finally: atTheEnd = onTestFinished } = options
  const prefix = newPrefix()
  atTheEnd(() => deleteQueues(broker, prefix, ['work']))
  const on = await scene(fleetLog, {
    driver: driverUrl(options.dispatcherUrl ?? broker, prefix),
    publishGraceMs,
    finally: atTheEnd,
  })
  const env = { ...on.env, ERRAND_DRIVER: driverUrl(broker, prefix), ...options.env }
  const start = (): Promise<Member> => startWorker(env, { finally: atTheEnd })
  const workers = await Promise.all([start(), start()])
  const dispatching = keepDispatching(on.errand)
  atTheEnd(() => dispatching.stop().catch(() => {}))
  const ended = (): number => readLedger(on.ledger).filter(({ mark }) => mark === 'ended').length

  const goesOn = async (jobs = 20): Promise<void> => {
    const enough = ended() + jobs
    await until(() => ended() >= enough, { what: 'work goes on', withinMs: 30_000, pause })
  }
  await goesOn()

  return {
    ...on,
    prefix,
    workers,
    dispatched: dispatching.ids,
    get slowestDispatchMs() {
      return dispatching.slowestMs()
    },
    goesOn,
    async takesAgain() {
      const within = { withinMs: takingAgainMs, pause }
      await Promise.all([
        until(() => allTake(on.errand, workers.length), {
          what: 'every worker says that it takes jobs',
          ...within,
        }),
        // Nothing ever comes in this lane but what this waits for: whoever has a free slot listens to it.
        until(
          async () => (await findLane(broker, brokerQueue(prefix, 'work', 'critical')))?.consumers === 2,
          {
            what: 'both workers consume from the broker',
            ...within,
          },
        ),
        until(() => startsByTicket(on), { what: 'a job is started from its ticket', ...within }),
      ])
    },
    rest: () => dispatching.stop(),
    async endsWell() {
      await dispatching.stop()
      // A job whose ticket was published again in vain is overdue anew half a minute later.
      await allEnded(on.log, 90_000)
      expect(await on.violations()).toBe('')
      const succeeded = await collectIds(on.errand.jobs.list({ state: 'succeeded' }))
      expect(dispatching.ids.filter((id) => !succeeded.has(id))).toEqual([])
    },
  }
}

interface Dispatching {
  readonly ids: readonly string[]
  readonly slowestMs: () => number
  /** @throws what a dispatch threw: none may. */
  readonly stop: () => Promise<void>
}

/** One job after another, with a moment in between, for as long as the test lets it. */
function keepDispatching(errand: Errand): Dispatching {
  const ids: string[] = []
  const stopped = new AbortController()
  let slowestMs = 0
  const loop = async (): Promise<void> => {
    for (let n = 0; !stopped.signal.aborted; n += 1) {
      const beganMs = performance.now()
      const { id } = await errand.dispatch(work, { n, failures: 0, ms: n % 10 })
      slowestMs = Math.max(slowestMs, performance.now() - beganMs)
      ids.push(id)
      await new Promise((resolve) => {
        setTimeout(resolve, 20)
      })
    }
  }
  const running = loop()
  running.catch(() => {})
  const stop = async (): Promise<void> => {
    stopped.abort()
    await running
  }
  return { ids, slowestMs: () => slowestMs, stop }
}
