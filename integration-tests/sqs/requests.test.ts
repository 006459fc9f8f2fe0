import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { scaleLimit, until } from '@errand/testkit'
import { allEnded } from '../fleet/looks.ts'
import { ceilings } from '../performance/ceilings.ts'
import { work } from './jobs.ts'
import { hasSqs, logs, scene } from './scene.ts'

/** Requests as AWS bills them: every attempt of every operation, counted at the SDK's middleware. */
describe.skipIf(!hasSqs)('the requests of whole workers', () => {
  it.concurrent.for(logs)(
    'at a full backlog stay below their ceiling for each job (%s)',
    async (name, test) => {
      const { begun, errand, faults, log, violations, work: start } = await scene(name, test)
      const jobs = 2_000
      for (let at = 0; at < jobs; at += 500)
        await errand.dispatchMany(Array.from({ length: 500 }, () => work.with({})))
      const worker = await start({ concurrency: 20 })
      await allEnded(log, 60_000)
      await worker.stop()
      expect(faults.totalRequests / jobs).toBeLessThanOrEqual(ceilings.requests)
      expect(begun()).toHaveLength(jobs)
      expect(await violations()).toBe('')
    },
  )

  it.concurrent.for(logs)(
    'for jobs of more than half a second hand no message back, and delete by the ten (%s)',
    async (name, test) => {
      const { errand, faults, log, violations, work: start } = await scene(name, test)
      const dispatch = (jobs: number): Promise<unknown> =>
        errand.dispatchMany(Array.from({ length: jobs }, () => work.with({ ms: 600 })))
      const worker = await start({ concurrency: 1 })
      await dispatch(2)
      await allEnded(log, 60_000)
      // It has told how many it takes.
      await until(async () => (await log.served())[0]?.slots === 0, {
        what: 'the worker is known to be slow',
      })
      // Whoever dispatches asks for that every five seconds.
      await sleep(5_000)
      await dispatch(2)
      await allEnded(log, 60_000)
      const handBacks = (): number => faults.requests['ChangeMessageVisibilityBatch'] ?? 0
      const before = handBacks()
      const all = faults.totalRequests
      const jobs = 20
      await dispatch(jobs)
      await allEnded(log, 60_000)
      // A receive for each, and the others by the ten.
      expect((faults.totalRequests - all) / jobs).toBeLessThanOrEqual(ceilings.requestsOfSlowJobs)
      expect(handBacks() - before).toBeLessThan(3)
      await worker.stop()
      expect(await violations()).toBe('')
    },
  )

  it.concurrent.for(logs)(
    'of an idle one are at most three a minute for each SQS queue (%s)',
    async (name, test) => {
      const { errand, faults, work: start } = await scene(name, test)
      await start()
      // Each lane was asked once whether it has tickets. From now on long polls follow each other.
      await until(() => faults.requests['ReceiveMessage'] === 8, { what: 'all lanes are listened to' })
      const before = faults.totalRequests
      await sleep(24_000)
      // One long poll of each lane ended, and the next one began.
      expect(faults.totalRequests - before).toBe(4)
      // The worker has listened all the time.
      await errand.result(await errand.dispatch(work, {}), { timeout: scaleLimit(5_000) })
    },
  )
})
