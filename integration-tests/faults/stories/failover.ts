// A job log that moves to another server.
import { expect } from 'vitest'
import type { JobEvent } from '@errand/core'
import {
  checkHistory,
  describeViolations,
  readDispatched,
  readHistory,
  scaleLimit,
  until,
} from '@errand/testkit'
import { work } from '../../fleet/app/jobs.ts'
import { openGate, readLedger } from '../../fleet/app/ledger.ts'
import { lasts, pause } from '../../fleet/looks.ts'
import type { Fleet } from '../../fleet/fleet.ts'
import { violationsIn } from '../../fleet/scene.ts'
import { held } from '../../fleet/app/jobs.ts'
import { story } from '../story.ts'
import type { Story } from '../story.ts'
import { newName } from './common.ts'
import { onPair } from './on-pair.ts'
import type { Following } from './on-pair.ts'

/** How long the name leads to a server that is read-only. */
const uselessMs = 3_000

const nameEvent = ({ jobId, version }: { readonly jobId: string; readonly version: number }): string =>
  `${jobId} ${version}`

/** The number that PostgreSQL gave to the transaction of an event. */
function parseTransaction(cursor: string): bigint {
  return BigInt(cursor.split('.')[1] ?? '')
}

/** Checks that the follower has got every event of the log once, and in the log's order. */
async function wasToldAll({ log }: Fleet, { events }: Following): Promise<void> {
  const history = (await readHistory(log)).map(nameEvent)
  await until(() => events.length >= history.length, { what: 'the follower has caught up', pause })
  expect(events.map(nameEvent)).toEqual(history)
}

export const failoverStories: readonly Story[] = [
  story('failover', (outer) =>
    onPair(outer, async (on) => {
      const { pair, fleet } = on
      const follower = on.follow()
      await until(() => follower.events.length > 0, { what: 'somebody follows', pause })

      // Nothing is cut. Open connections stay with a server that answers and accepts no writes; a new one
      // gets a standby.
      pair.name.lead({ host: '127.0.0.1', port: pair.standby.port })
      await pair.turnReadOnly()
      await lasts(uselessMs)
      await pair.standby.promote()
      await on.takesAgain()
      await fleet.ends()

      expect(await violationsIn(fleet.log, readLedger(fleet.ledger))).toBe('')
      const stored = new Set(await readDispatched(fleet.log))
      expect(fleet.dispatched.filter((id) => !stored.has(id))).toEqual([])
      expect(follower.error).toBeUndefined()
      await wasToldAll(fleet, follower)
    }),
  ),

  story('failover that lost commits', (outer) =>
    onPair(outer, async (on) => {
      const { pair, fleet } = on
      const { log, errand, ledger } = fleet
      const [queue, gate] = [newName('lost'), newName('gate')]
      const kept = await errand.dispatch(held, { gate }, { queue })
      const early = await readHistory(log)
      const before = fleet.dispatched.length
      const follower = on.follow()
      await pair.caughtUp()
      pair.replication.refuse()
      pair.replication.cut()

      // The database answers all of this and then loses it: jobs, a worker, and a run that goes on.
      const lost = await errand.dispatch(work, { n: 1, failures: 0, ms: 0 })
      await fleet.start({ env: { QUEUES: queue } })
      const hasBegun = (times: number) => () =>
        readLedger(ledger).filter(({ jobId, mark }) => jobId === kept.id && mark === 'began').length >= times
      await until(hasBegun(1), { what: 'a run begins that will be forgotten', pause })
      await fleet.goesOn()
      const isTold = (): boolean => follower.events.some(({ jobId }) => jobId === lost.id)
      await until(isTold, { what: 'the follower has seen what will be lost', pause })
      // A follower that is away, and comes back after the numbers of lost transactions have been given again.
      const away = follower.events.at(-1)!.cursor
      await pair.primary.kill()
      await pair.standby.promote()
      pair.name.lead({ host: '127.0.0.1', port: pair.standby.port })
      await on.takesAgain()
      await until(hasBegun(2), { what: 'the job whose run was forgotten runs again', pause })
      openGate(`${ledger}.${gate}`)
      await errand.result(kept, { timeout: scaleLimit(20_000) })
      const areGivenAgain = async (): Promise<boolean> =>
        parseTransaction((await readHistory(log)).at(-1)!.cursor) > parseTransaction(away)
      await until(areGivenAgain, { what: 'the numbers of what was lost are given again', pause })
      await fleet.ends()

      // Only jobs that were answered in that time may be lost.
      const stored = new Set(await readDispatched(log))
      const answered = fleet.dispatched
      const first = answered.findIndex((id) => !stored.has(id))
      const last = answered.findLastIndex((id) => !stored.has(id))
      expect(first).toBeGreaterThanOrEqual(before)
      expect(answered.slice(first, last + 1).filter((id) => stored.has(id))).toEqual([])
      expect(last).toBeLessThan(answered.length - 1)
      expect(stored.has(lost.id)).toBe(false)
      await expect(errand.result(lost)).rejects.toMatchObject({ code: 'E_NOT_FOUND' })
      // The other jobs have kept every promise, as far as the log knows.
      const events = await readHistory(log)
      const history = { events, dispatched: await readDispatched(log), live: [] }
      expect(describeViolations(checkHistory(history))).toBe('')
      // A follower that has seen lost events gets an error. One that has not goes on, and misses nothing.
      await until(() => follower.error !== undefined, { what: 'the follower is told', pause })
      expect(follower.error).toMatchObject({ code: 'E_CURSOR' })
      await expect(log.read({ after: away, limit: 10 })).rejects.toMatchObject({ code: 'E_CURSOR' })
      const later: JobEvent[] = []
      for await (const event of errand.events.read({ after: early.at(-1)!.cursor })) later.push(event)
      expect([...early, ...later].map(nameEvent)).toEqual(events.map(nameEvent))
    }),
  ),
]
