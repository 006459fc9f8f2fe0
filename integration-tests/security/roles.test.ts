import { randomUUID } from 'node:crypto'
import { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from 'vitest'
import { defineJob, defineLimit, handle } from '@errand/core'
import type { Errand } from '@errand/core'
import { until } from '@errand/testkit'
import { z } from 'zod'
import { rolesScene } from './fleet-of-roles.ts'
import type { RolesScene } from './fleet-of-roles.ts'

const url = inject('postgres')
const payload = z.object({ n: z.number() })
const parent = defineJob({
  name: 'security.parent',
  queue: 'work',
  payload,
  returns: z.object({ n: z.number() }),
})
const child = defineJob({ name: 'security.child', queue: 'work', payload, order: { key: () => 'one' } })
const few = defineLimit({ name: 'security.few', concurrency: 1 })
const careful = defineJob({ name: 'security.careful', queue: 'work', payload, limit: few })
const hopeless = defineJob({ name: 'security.hopeless', queue: 'work', payload, retry: { attempts: 1 } })
const by = { by: 'mia' }

describe.skipIf(url === undefined)('the least rights on PostgreSQL', () => {
  let scene: RolesScene
  let dispatcher: Errand
  let operator: Errand
  beforeAll(async () => {
    scene = await rolesScene(url!)
    dispatcher = scene.as('dispatcher')
    operator = scene.as('operator')
  })
  afterAll(() => scene?.close())

  const working = (name: 'worker' | 'dispatcher') => {
    const errand = scene.as(name)
    const pool: Client[] = []
    const worker = errand.work(
      {
        handlers: [
          handle(parent, async ({ n }, ctx) => {
            ctx.progress(0.5, 'half way')
            await ctx.dispatch(child, { n: n + 1 })
            return { n: n * 2 }
          }),
          handle(child, () => {}),
          handle(hopeless, () => {
            throw new Error('no hope')
          }),
          handle(careful, async (_payload, ctx) => {
            const tx = new Client({ connectionString: scene.toUrl('worker') })
            pool.push(tx)
            await tx.connect()
            await tx.query('begin')
            await ctx.complete({ tx })
            await tx.query('commit')
            await tx.end()
          }),
        ],
      },
      { signals: false },
    )
    return { errand, worker }
  }

  test('a job is dispatched, waited for, run and looked after, each by a role that may do that and no more', async () => {
    const { worker } = working('worker')
    onTestFinished(() => worker.stop())
    const { id } = await dispatcher.dispatch(parent, { n: 21 })
    const seen: string[] = []
    for await (const event of dispatcher.events.follow({ job: id })) seen.push(event.type)
    expect(seen.filter((type) => type !== 'progressed')).toEqual(['dispatched', 'started', 'succeeded'])
    expect(await dispatcher.result({ id, status: 'added' })).toEqual({ n: 42 })
    expect((await dispatcher.events.of(id)).map(({ type }) => type)).toContain('succeeded')

    // Inside a transaction of the dispatcher's own, and of the handler's own.
    const tx = new Client({ connectionString: scene.toUrl('dispatcher') })
    await tx.connect()
    onTestFinished(() => tx.end())
    await tx.query('begin')
    const inside = await dispatcher.dispatch(careful, { n: 1 }, { tx })
    await tx.query('commit')
    dispatcher.wake()
    await dispatcher.result(inside)

    const failed = await dispatcher.dispatch(hopeless, { n: 1 })
    await expect(dispatcher.result(failed)).rejects.toMatchObject({ code: 'E_RESULT_FAILED' })
    const children: string[] = []
    for await (const job of operator.jobs.list({ job: child })) children.push(job.state)
    expect(children).toHaveLength(1)

    await operator.queues.pause('work', by)
    expect(await operator.queues.list()).toMatchObject([{ name: 'work', paused: true }])
    const held = await dispatcher.dispatch(parent, { n: 1 }, { delay: '1h' })
    await operator.jobs.change(held.id, { lane: 'critical', payload: { n: 2 } }, by)
    expect(await operator.jobs.cancel(held.id, by)).toBe(1)
    await operator.queues.resume('work', by)
    expect(await operator.jobs.replay(failed.id, by)).toBe(1)
    await expect(dispatcher.result(failed)).rejects.toMatchObject({ code: 'E_RESULT_FAILED' })
    const nightly = { name: 'nightly', job: child, every: '1d', payload: { n: 1 } } as const
    const own = new Client({ connectionString: scene.toUrl('operator') })
    await own.connect()
    onTestFinished(() => own.end())
    await own.query('begin')
    await operator.schedules.set(nightly, { ...by, tx: own })
    await own.query('commit')
    await operator.schedules.pause('nightly', by)
    expect(await operator.schedules.remove('nightly')).toBe(true)
    await operator.limits.set(few.name, { concurrency: 2 }, by)
    await operator.limits.close(few.name, { for: '1h' }, by)
    await operator.limits.open(few.name, {}, by)
    await operator.limits.reset(few.name, by)
    expect(await operator.limits.list()).toMatchObject([{ name: few.name, concurrency: { total: 1 } }])
    expect(await operator.jobs.prune({ failed: '1d' })).toBe(0)
    expect((await operator.doctor()).findings.filter(({ severity }) => severity === 'error')).toEqual([])
    expect(await operator.transfer.status()).toBeUndefined()
    expect(await operator.workers.list()).toHaveLength(1)
    await operator.workers.stop()
    await worker.finished
  })

  test('a dispatcher is told what it may not do, and which right it lacks', async () => {
    const { id } = await dispatcher.dispatch(child, { n: 1 }, { delay: '1h' })
    const refusals: readonly (() => Promise<unknown>)[] = [
      () => dispatcher.jobs.cancel(id, by),
      () => dispatcher.queues.pause('work', by),
      async () => {
        for await (const _ of dispatcher.jobs.list()) throw new Error('it reads the jobs of others')
      },
      async () => {
        for await (const _ of dispatcher.events.follow({ after: 'start' }))
          throw new Error('it reads all events')
      },
      () => dispatcher.migrate({ restored: true }),
      () => dispatcher.workers.stop(),
      () => dispatcher.schedules.list(),
      () => dispatcher.limits.list(),
    ]
    for (const refused of refusals)
      await expect(refused()).rejects.toMatchObject({
        code: 'E_RIGHTS',
        message: expect.stringMatching(
          /permission denied for (table|view|function|sequence|schema) \w+; errand roles/,
        ) as string,
      })
  })

  test('a worker that may only dispatch says so at its start, and runs nothing', async () => {
    const { id } = await dispatcher.dispatch(parent, { n: 1 }, { delay: '1h' })
    const { worker } = working('dispatcher')
    await expect(worker.ready).rejects.toMatchObject({
      code: 'E_RIGHTS',
      message: expect.stringContaining('permission denied for function beat') as string,
    })
    await expect(worker.finished).rejects.toMatchObject({ code: 'E_RIGHTS' })
    expect((await operator.events.of(id)).map(({ type }) => type)).toEqual(['dispatched'])
  })

  test('an operator dispatches nothing and runs nothing, and a stranger does not even connect', async () => {
    await expect(operator.dispatch(child, { n: 1 })).rejects.toMatchObject({ code: 'E_RIGHTS' })
    await expect(scene.as('stranger').connect()).rejects.toMatchObject({ code: 'E_RIGHTS' })
    const id = randomUUID()
    // With the ids, so that somebody with the right can do it.
    await expect(scene.as('stranger').dispatch(child, { n: 1 }, { id })).rejects.toMatchObject({ ids: [id] })
  })

  test('what a dispatcher stores by SQL of its own stops no worker, no follower and no operator', async () => {
    const own = new Client({ connectionString: scene.toUrl('dispatcher') })
    await own.connect()
    onTestFinished(() => own.end())
    const append = async (over: Readonly<Record<string, string | null>>): Promise<string> => {
      const id = randomUUID()
      const columns: Record<string, string | null> = {
        p_ids: `{${id}}`,
        p_payloads: '{"null"}',
        p_tags: null,
        p_metas: null,
        p_name: 'security.parent',
        p_payload_version: '1',
        p_queue: 'hostile',
        p_lane: '300',
        p_codec: 'json',
        p_expires: null,
        p_parent: null,
        p_grace: '0',
        p_attempts: '1',
        p_crashes: '1',
        p_crash_fails: null,
        p_timeout: '60000',
        p_data: null,
        ...over,
      }
      const names = Object.keys(columns)
      await own.query(
        `select ${scene.schema}.append_alike_v1(${names.map((name, index) => `${name} => $${index + 1}`).join(', ')})`,
        Object.values(columns),
      )
      return id
    }
    const hostile = [
      await append({ p_metas: '{"no json"}' }),
      await append({ p_metas: '{"[1]"}' }),
      await append({ p_metas: String.raw`{"{\"__proto__\":{\"polluted\":true},\"a\":7}"}` }),
      await append({ p_data: '"orderingKey":' }),
      await append({ p_codec: 'zip' }),
      await append({ p_payloads: '{"{"}' }),
      await append({ p_payload_version: '-1' }),
    ]
    for (const beyond of [
      { p_lane: '7' },
      { p_name: '__proto__' },
      { p_name: '\u001b[2J\n' },
      { p_name: 'x'.repeat(20_000) },
      { p_timeout: '-5' },
      { p_timeout: '9223372036854775806' },
      { p_expires: '-9000000000000000000' },
      { p_attempts: '-1' },
      { p_crashes: '2000000000' },
      { p_payloads: `{"${'x'.repeat(30_000_000)}"}` },
      { p_data: 'x'.repeat(2_000_000) },
    ])
      await expect(append(beyond)).rejects.toMatchObject({ code: '22023' })
    const errand = scene.as('worker')
    const ran: number[] = []
    const honest = defineJob({ name: 'security.honest', queue: 'hostile', payload })
    const worker = errand.work(
      { handlers: [handle(honest, ({ n }) => void ran.push(n)), handle(parent, ({ n }) => ({ n }))] },
      { signals: false },
    )
    onTestFinished(() => worker.stop())
    await Promise.all([1, 2, 3].map((n) => dispatcher.dispatch(honest, { n })))
    await until(() => ran.length === 3, { what: 'the honest jobs ran' })
    // Each of them was looked at, and is in a state that somebody can see.
    for (const id of hostile)
      await until(async () => (await operator.events.of(id)).length > 1, { what: `${id} was looked at` })
    const listed: string[] = []
    for await (const job of operator.jobs.list({ queue: 'hostile' })) listed.push(job.id)
    expect(listed).toEqual(expect.arrayContaining(hostile))
    for await (const event of operator.events.read({ queue: 'hostile', after: 'start' })) void event
    expect(Object.hasOwn(Object.prototype, 'polluted')).toBe(false)
  })
})
