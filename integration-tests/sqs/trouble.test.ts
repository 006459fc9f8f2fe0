import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { scaleLimit, until } from '@errand/testkit'
import { everySqsFault } from '@errand/testkit/sqs-faults'
import { allEnded } from '../fleet/looks.ts'
import { work } from './jobs.ts'
import { hasSqs, logs, scene } from './scene.ts'
import type { Scene } from './scene.ts'

/** Long enough for the worker to call its queue quiet. From then on it takes overdue jobs from the log. */
const troubleMs = 6_000

/** Moves the time by one grace after another until every job has ended. After each, tickets that SQS did not take are due again. */
async function timePasses({ advance, log }: Scene): Promise<void> {
  const hasEnded = async (): Promise<boolean> => {
    await advance(31_000)
    return allEnded(log, 3_000).then(
      () => true,
      () => false,
    )
  }
  await until(hasEnded, { what: 'every job has ended', withinMs: 60_000 })
}

const jobs = (count: number) => Array.from({ length: count }, () => work.with({}))

const options = { concurrent: true }

describe.skipIf(!hasSqs).each(logs)('an SQS in trouble, with the log on %s', options, (name) => {
  it.for(['throttle', 'unavailable'] as const)(
    'every request is refused, and there is no tight loop, dispatching goes on, and no job is lost (%s)',
    async (fault, test) => {
      const on = await scene(name, test)
      const { begun, errand, faults, violations, work: start } = on
      await start()
      await errand.result(await errand.dispatch(work, {}), { timeout: scaleLimit(20_000) })

      faults.rates = { [fault]: 1 }
      faults.sever()
      const before = faults.totalRequests
      await errand.dispatchMany(jobs(20))
      await sleep(troubleMs)
      // Four lanes, three attempts of the SDK for each poll: waits of 100 ms that double come to 6 s with the seventh. And
      // three for a send, once a second at most, that looks whether SQS is back.
      expect(faults.totalRequests - before).toBeLessThanOrEqual(4 * 3 * 8 + 3 * 8)
      // Their tickets never came to SQS; when their grace is over, the worker takes them from the log.
      await timePasses(on)

      faults.rates = {}
      await errand.dispatchMany(jobs(20))
      // Some were dispatched while SQS was still thought to be down.
      await timePasses(on)
      expect(begun()).toHaveLength(41)
      expect(await violations()).toBe('')
    },
  )

  it('repeats, reorders, delays, refuses and fails, each one time in ten: every job runs once', async (test) => {
    const on = await scene(name, test, { visibility: '2s' })
    const { begun, errand, faults, violations, work: start } = on
    faults.rates = everySqsFault(0.1)
    await Promise.all([start(), start()])
    for (let round = 0; round < 3; round += 1) await errand.dispatchMany(jobs(60))
    // One by one: tickets that are published together share messages, and few requests meet few faults.
    for (let single = 0; single < 120; single += 1) await errand.dispatch(work, {})
    // Tickets that SQS has not accepted after all repetitions are due for publishing again.
    await timePasses(on)
    expect(begun().length).toBe(300)
    expect(Object.keys(faults.made).length).toBeGreaterThanOrEqual(7)
    expect(await violations()).toBe('')
  })
})
