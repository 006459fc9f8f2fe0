import { randomUUID } from 'node:crypto'
import { Client } from 'pg'
import { describe, expect, inject, onTestFinished, test } from 'vitest'
import { createErrand, defineJob } from '@errand/core'
import { z } from 'zod'
import { logs, scene } from './shared.ts'

const ordered = defineJob({
  name: 'locked.ordered',
  payload: z.object({ key: z.string(), n: z.number() }),
  order: { key: ({ key }) => key },
})
const single = defineJob({
  name: 'locked.single',
  payload: z.object({ key: z.string(), n: z.number() }),
  unique: { key: ({ key }) => key },
})

describe.runIf(logs.includes('postgres'))('a key that an open transaction holds', () => {
  test.each([
    ['ordering', ordered],
    ['unique', single],
  ] as const)('holds up no dispatch of another %s key, and its own go in their order', async (_, job) => {
    const { url } = await scene('postgres')
    const [errand, other] = [createErrand({ log: url }), createErrand({ log: url })]
    onTestFinished(async () => {
      await Promise.all([errand.close(), other.close()])
    })
    const client = new Client({ connectionString: inject('postgres') })
    await client.connect()
    onTestFinished(() => client.end())
    await client.query('begin')
    await other.dispatch(job, { key: 'held', n: 0 }, { tx: client })

    // Jobs of the held key and all others in one tick, so that they share a statement.
    let waiting = true
    const held = [1, 2].map((n) => errand.dispatch(job, { key: 'held', n }))
    const first = held[0]!.finally(() => {
      waiting = false
    })
    const others = Array.from({ length: 100 }, (__, n) => errand.dispatch(job, { key: randomUUID(), n }))
    for (const receipt of await Promise.all(others)) expect(receipt.status).toBe('added')
    expect(waiting, 'the others were stored while it waited').toBe(true)
    expect((await errand.dispatch(job, { key: randomUUID(), n: 0 })).status).toBe('added')
    await client.query('rollback')

    const receipts = await Promise.all([first, held[1]!])
    const sequence: unknown[] = []
    for await (const each of errand.jobs.list({ job }))
      if (receipts.some(({ id }) => id === each.id)) sequence.unshift((each.payload as { n: number }).n)
    expect(sequence).toEqual(job === ordered ? [1, 2] : [1])
  })
})
