import { describe, expect, it } from 'vitest'
import { scaleLimit, until } from '@errand/testkit'
import { queue, work } from './jobs.ts'
import { hasSqs, logs, scene } from './scene.ts'

const minute = 60_000
const day = 24 * 60 * minute

describe.skipIf(!hasSqs).each(logs)('delays over SQS, with the log on %s', { concurrent: true }, (name) => {
  it('of 20 minutes and of 3 days, which SQS cannot do, end by the log’s clock', async (test) => {
    const { advance, begun, corner, errand, faults, violations, work: start } = await scene(name, test)
    await start()
    const soon = await errand.dispatch(work, {}, { delay: '20m' })
    const late = await errand.dispatch(work, {}, { delay: '3d' })
    // No ticket is sent to SQS before its job is due.
    expect(faults.requests['SendMessageBatch']).toBeUndefined()

    await advance(19 * minute)
    // A job without a delay has run: a job that was due before it could have run too.
    const first = await errand.dispatch(work, {})
    await errand.result(first, { timeout: scaleLimit(20_000) })
    expect((await errand.jobs.get(soon.id))?.state).toBe('scheduled')

    await advance(2 * minute)
    await errand.result(soon, { timeout: scaleLimit(20_000) })
    expect((await errand.jobs.get(late.id))?.state).toBe('scheduled')

    await advance(3 * day)
    await errand.result(late, { timeout: scaleLimit(20_000) })
    expect(begun()).toEqual([first.id, soon.id, late.id])
    // Each was fetched by its ticket, when it was due.
    expect(faults.requests['SendMessageBatch']).toBe(3)
    await until(async () => (await corner.tickets(queue)) === 0, { what: 'no ticket is left' })
    expect(await violations()).toBe('')
  })
})
