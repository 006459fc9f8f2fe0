import { batch, chain, createErrand, defineJob, defineWorker, ended, flow, handle, many } from '@errand/core'
import type { Errand, FlowReceipt, Receipt, WorkerDefinition } from '@errand/core'
import { quietLogger } from '@errand/testkit'
import { describe, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { applicationOn } from '../fleet/application.ts'
import type { Application } from '../fleet/application.ts'
import { logs, makeEmptyLog } from '../fleet/shared.ts'

const count = defineJob({ name: 'count', payload: z.string(), returns: z.object({ length: z.number() }) })
const broken = defineJob({ name: 'broken', retry: { attempts: 1 }, returns: z.object({ ok: z.boolean() }) })
const sum = defineJob({
  name: 'sum',
  returns: z.number(),
  needs: { first: count, rest: many(count), broken: ended(broken) },
})
const only = defineJob({ name: 'only', payload: z.string(), unique: { key: (p) => p } })

interface Scene {
  readonly errand: Errand
  readonly application: Application
  readonly work: (handlers: WorkerDefinition['handlers']) => Promise<void>
}

async function scene(name: string): Promise<Scene> {
  const url = makeEmptyLog(name)
  const keys = [Buffer.alloc(32, 7).toString('base64')]
  const errand = createErrand({ log: url, driver: 'database', logger: quietLogger, encrypt: { keys } })
  onTestFinished(() => errand.close())
  await errand.connect()
  return {
    errand,
    application: applicationOn(name, url),
    work: async (all) => {
      await errand.work(defineWorker({ handlers: all }), { signals: false }).ready
    },
  }
}

const handlers = [
  handle(count, (text) => ({ length: text.length })),
  handle(broken, () => {
    throw new TypeError('a secret')
  }),
  handle(only, () => undefined),
]

describe.each(logs)('flows on %s, with encryption', (name) => {
  test('a flow hands results over, also those of a batch and of what failed', async () => {
    const { errand, work } = await scene(name)
    const failures: unknown[] = []
    const add = handle(sum, async (_, ctx) => {
      let total = (await ctx.needs.first()).length
      for await (const { result } of ctx.needs.rest()) total += result.length
      const end = await ctx.needs.broken()
      if (end.state !== 'succeeded') failures.push(end.state, end.error?.message)
      return total
    })
    await work([...handlers, add])
    const receipt = await errand.dispatch(
      flow((f) => {
        const first = f.job(count, 'four')
        const rest = f.batch(['a', 'bb', 'ccc'].map((text) => count.with(text)))
        f.job(sum, undefined, { needs: { first, rest, broken: f.job(broken) } })
      }),
    )
    expect(await errand.result(receipt, { timeout: '20s' })).toMatchObject({
      succeeded: 3,
      failed: 1,
      forgiven: 1,
    })
    const [job] = await errand.jobs.list({ job: sum })
    expect(job?.result).toBe(10)
    expect(failures).toEqual(['failed', 'a secret'])
  })

  test('a flow in a transaction is there once that has committed, and never was if it rolls back', async () => {
    const { errand, application, work } = await scene(name)
    const whole = chain([count.with('a'), batch([count.with('b'), count.with('c')])])
    let receipt: FlowReceipt<unknown> | undefined
    await application.transaction(async (tx) => {
      receipt = await errand.dispatch(whole, { tx })
    }, 'rollback')
    expect(await errand.flows.get(receipt?.id ?? '')).toBeUndefined()
    expect(await errand.jobs.list()).toEqual([])

    await application.transaction(async (tx) => {
      receipt = await errand.dispatch(whole, { tx })
      expect(await errand.flows.list()).toEqual([])
    }, 'commit')
    errand.wake()
    await work(handlers)
    expect(await errand.result(receipt!, { timeout: '20s' })).toMatchObject({ total: 2, succeeded: 2 })
  })

  test('a dispatch in a transaction needs jobs outside of it, and jobs of it', async () => {
    const { errand, application, work } = await scene(name)
    await work(handlers)
    const outside = await errand.dispatch(count, 'a')
    await errand.result(outside, { timeout: '20s' })
    let last: Receipt<{ length: number }> | undefined
    await application.transaction(async (tx) => {
      const inside = await errand.dispatch(count, 'b', { tx })
      last = await errand.dispatch(count, 'ccc', { tx, after: [outside, inside] })
    }, 'commit')
    errand.wake()
    expect(await errand.result(last!, { timeout: '20s' })).toEqual({ length: 3 })
  })

  test('what cannot be stored is refused with a code, and the transaction stays usable', async () => {
    const { errand, application } = await scene(name)
    const held = await errand.dispatch(only, 'a')
    await application.transaction(async (tx) => {
      const nobody = '01a220b6-6f60-7003-a85a-2dd0058bb314'
      await expect(
        errand.dispatch(batch([count.with('x', { after: [nobody] })]), { tx }),
      ).rejects.toMatchObject({ code: 'E_NEED_UNKNOWN', ids: [nobody] })
      await expect(errand.dispatch(count, 'x', { tx, after: [nobody] })).rejects.toMatchObject({
        code: 'E_NEED_UNKNOWN',
      })
      const doubled = batch([only.with('a'), only.with('b')])
      await expect(errand.dispatch(doubled, { tx })).rejects.toMatchObject({
        code: 'E_FLOW_DUPLICATE',
        ids: [held.id],
      })
      expect(await errand.dispatch(doubled, { tx, onDuplicate: 'skip' })).toMatchObject({
        skipped: [held.id],
      })
    }, 'commit')
    expect((await errand.jobs.list()).map(({ payload }) => payload)).toEqual(['b', 'a'])
  })

  test('more than one commit may store is refused before anything is sent', async () => {
    const { errand } = await scene(name)
    const most = name === 'sqlite' ? 2_000 : 20_000
    const of = (length: number) => batch(Array.from({ length }, () => count.with('x')))
    await expect(errand.dispatch(of(most + 1))).rejects.toMatchObject({ code: 'E_FLOW_TOO_LARGE' })
    expect(await errand.flows.list()).toEqual([])
    const { id } = await errand.dispatch(of(2_000))
    expect(await errand.flows.get(id)).toMatchObject({ total: 2_000 })
    await errand.flows.cancel(id, { by: 'test' })
    expect(await errand.flows.get(id)).toMatchObject({ state: 'cancelled', cancelled: 2_000 })
  })
})
