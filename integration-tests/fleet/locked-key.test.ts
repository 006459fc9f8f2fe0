import { randomUUID } from 'node:crypto'
import { Client } from 'pg'
import { describe, expect, inject, onTestFinished, test } from 'vitest'
import { createErrand, defineJob } from '@errand/core'
import { scaleLimit } from '@errand/testkit'
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

/** The p95 of an innocent key's dispatch while a transaction is open, by that of the same dispatches without it. */
const bound = 1.5
/** Whatever else the machine does only adds to a turn's time, so turns go on until the bound holds, or are over. */
const mostTurns = 12
const timesOfATurn = 60

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

  test.each([
    ['ordering', ordered],
    ['unique', single],
  ] as const)(
    'leaves the p95 of other %s keys as it is, while jobs of the held one keep coming',
    async (_, job) => {
      const { url } = await scene('postgres')
      const [errand, other] = [createErrand({ log: url }), createErrand({ log: url })]
      const client = new Client({ connectionString: inject('postgres') })
      await client.connect()
      onTestFinished(async () => {
        await client.end()
        await Promise.all([errand.close(), other.close()])
      })

      // The innocent dispatch shares a statement with one of the hammered key, or is that of another process.
      async function p95(isHeld: boolean): Promise<number> {
        const key = randomUUID()
        if (isHeld) {
          await client.query('begin')
          await errand.dispatch(job, { key, n: 0 }, { tx: client })
        }
        const hammered: Promise<unknown>[] = []
        const leave = (): void => {} // Refused, if a slow turn has held the key for three seconds.
        const times: number[] = []
        while (times.length < timesOfATurn) {
          const n = times.length + 1
          hammered.push(errand.dispatch(job, { key, n }).catch(leave))
          const since = performance.now()
          await (n % 2 === 0 ? errand : other).dispatch(job, { key: randomUUID(), n })
          const ms = performance.now() - since
          if (ms > 1_000) expect(ms, 'an innocent dispatch waits').toBeLessThan(scaleLimit(1_000))
          times.push(ms)
        }
        if (isHeld) await client.query('rollback')
        await Promise.all(hammered)
        return times.toSorted((a, b) => a - b)[Math.floor(0.95 * timesOfATurn)]!
      }

      // The first turns connect and compile.
      await p95(false)
      await p95(true)
      const best = { held: Number.POSITIVE_INFINITY, free: Number.POSITIVE_INFINITY }
      for (let turn = 0; turn < mostTurns; turn += 1) {
        best.held = Math.min(best.held, await p95(true))
        best.free = Math.min(best.free, await p95(false))
        if (best.held <= best.free * bound) break
      }
      expect(best.held / best.free).toBeLessThanOrEqual(bound)
    },
  )
})
