import { randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { batch, chain, defineJob, defineWorker, ended, fixed, flow, handle } from '../../src/index.ts'
import type { Context, FlowReceipt, WorkerDefinition } from '../../src/index.ts'
import { catchRefusal } from '../catch-refusal.ts'
import { stage } from '../worker/stage.ts'
import type { Stage } from '../worker/stage.ts'
import { auditBooks, buildReport, countSales, only, renderPage, step } from './jobs.ts'

/** What handlers did, in order; a label in `fails` throws. */
function recorder(fails: ReadonlySet<string> = new Set()) {
  const done: string[] = []
  const did = (label: string): void => {
    if (fails.has(label)) throw new Error(`${label} does not work`)
    done.push(label)
  }
  const worker = (...more: WorkerDefinition['handlers']): WorkerDefinition =>
    defineWorker({ handlers: [handle(step, did), handle(only, did), ...more] })
  return { done, did, worker }
}

function isGrowing(numbers: readonly number[]): boolean {
  return numbers.every((number, index) => index === 0 || number > (numbers[index - 1] ?? 0))
}

describe('a flow that runs', () => {
  test('a chain runs in its order, one job after the other', async () => {
    await using on = stage()
    const { done, worker } = recorder()
    await on.work(worker())
    const receipt = await on.errand.dispatch(
      chain([step.with('a'), batch([step.with('b'), step.with('b')]), chain([]), step.with('c')]),
    )
    expect(receipt).toMatchObject({ kind: 'flow', status: 'added', skipped: [] })
    expect(await on.errand.result(receipt)).toEqual({
      total: 4,
      succeeded: 4,
      failed: 0,
      cancelled: 0,
      forgiven: 0,
    })
    expect(done).toEqual(['a', 'b', 'b', 'c'])
  })

  test('a handler reads the results of what its job needs', async () => {
    await using on = stage()
    const read: unknown[] = []
    await on.work(
      defineWorker({
        handlers: [
          handle(countSales, () => ({ cents: 12 })),
          handle(renderPage, ({ page }) => {
            if (page === 3) throw new Error('page 3 is empty')
            return { url: `/${page}` }
          }),
          handle(auditBooks, () => {
            throw new TypeError('the books are away')
          }),
          handle(buildReport, async (_, ctx) => {
            const pages: unknown[] = []
            for await (const each of ctx.needs.pages()) pages.push(each)
            const audit = await ctx.needs.audit()
            read.push(await ctx.needs.sales(), pages, audit)
            if (audit.state !== 'succeeded') read.push(audit.error?.name)
          }),
        ],
      }),
    )
    const receipt = await on.errand.dispatch(
      flow((f) => {
        const sales = f.job(countSales, { month: 'm' })
        const audit = f.job(auditBooks, { month: 'm' })
        const pages = f.batch(
          [1, 2, 3, 4].map((page) => renderPage.with({ page })),
          { allowFailures: 1 },
        )
        f.job(buildReport, { month: 'm' }, { needs: { sales, pages, audit } })
      }),
    )
    expect(await on.errand.result(receipt)).toMatchObject({ total: 4, succeeded: 3, failed: 1, forgiven: 1 })
    const [, pages] = read as [unknown, readonly { index: number; result: { url: string } }[]]
    expect(read).toMatchObject([{ cents: 12 }, {}, { state: 'failed' }, 'TypeError'])
    expect(pages.map(({ result }) => result.url)).toEqual(['/1', '/2', '/4'])
    expect(isGrowing(pages.map(({ index }) => index))).toBe(true)
  })

  test('results of a batch of more than two pages are all read, in the order of the batch', async () => {
    await using on = stage()
    let urls: string[] = []
    const collect = handle(buildReport, async (_, ctx) => {
      for await (const { result } of ctx.needs.pages()) urls.push(result.url)
    })
    const handlers = [
      handle(renderPage, ({ page }) => ({ url: `/${page}` })),
      handle(countSales, () => ({ cents: 0 })),
      handle(auditBooks, () => ({ ok: true })),
      collect,
    ]
    const count = 1_100
    const receipt = await on.errand.dispatch(
      flow((f) => {
        const pages = f.batch(Array.from({ length: count }, (_, page) => renderPage.with({ page })))
        const sales = f.job(countSales, { month: 'm' })
        f.job(
          buildReport,
          { month: 'm' },
          { needs: { sales, pages, audit: f.job(auditBooks, { month: 'm' }) } },
        )
      }),
    )
    await on.work(defineWorker({ concurrency: 50, handlers }))
    await on.errand.result(receipt)
    expect(urls).toEqual(Array.from({ length: count }, (_, page) => `/${page}`))
    urls = []
  })

  test('a job needs what was dispatched before: running, ended, and a whole flow', async () => {
    await using on = stage()
    const read: unknown[] = []
    await on.work(
      defineWorker({
        handlers: [
          handle(countSales, () => ({ cents: 7 })),
          handle(renderPage, ({ page }) => ({ url: `/${page}` })),
          handle(auditBooks, () => ({ ok: true })),
          handle(buildReport, async (_, ctx) => {
            read.push(await ctx.needs.sales(), await ctx.needs.audit())
            for await (const { result } of ctx.needs.pages()) read.push(result)
          }),
        ],
      }),
    )
    const sales = await on.errand.dispatch(countSales, { month: 'm' })
    await on.until(sales.id, 'succeeded')
    const audit = await on.errand.dispatch(auditBooks, { month: 'm' }, { delay: 50 })
    const pages = await on.errand.dispatch(batch([renderPage.with({ page: 1 })]))
    const [report] = await on.errand.dispatchMany([
      buildReport.with({ month: 'm' }, { needs: { sales, audit, pages } }),
    ])
    await on.errand.result(report)
    expect(read).toEqual([{ cents: 7 }, { state: 'succeeded', result: { ok: true } }, { url: '/1' }])
    expect(await on.errand.jobs.needs(report.id)).toMatchObject([
      {
        on: sales.id,
        isFlow: false,
        mode: 'succeeded',
        name: 'sales',
        state: 'succeeded',
        result: { cents: 7 },
      },
      { on: pages.id, isFlow: true, mode: 'succeeded', name: 'pages', state: 'succeeded' },
      { on: audit.id, mode: 'ended', name: 'audit', result: { ok: true } },
    ])
  })

  test('callbacks run as the flow ends, and the one that is not needed is cancelled', async () => {
    await using on = stage()
    const { done, worker } = recorder(new Set(['bad']))
    await on.work(worker())
    const callbacks = { onSuccess: step.with('yes'), onFailure: step.with('no'), onEnd: step.with('end') }
    const good = await on.errand.dispatch(batch([step.with('a')], callbacks))
    await on.errand.result(good)
    await endOf(on, 'yes', 'end')
    expect(done.toSorted()).toEqual(['a', 'end', 'yes'])

    done.length = 0
    const bad = await on.errand.dispatch(batch([step.with('a'), step.with('bad')], callbacks))
    expect(await catchRefusal(() => on.errand.result(bad))).toMatchObject({
      code: 'E_RESULT_FAILED',
      message: expect.stringContaining('1 succeeded, 1 failed'),
      ids: [bad.id],
    })
    await on.errand.jobs.list()
    await expect.poll(() => done.toSorted()).toEqual(['a', 'end', 'no'])
  })

  test('a flow without members ends at once, and its callbacks run', async () => {
    await using on = stage()
    const { done, worker } = recorder()
    await on.work(worker())
    const receipt = await on.errand.dispatch(batch([], { onSuccess: step.with('yes') }))
    expect(await on.errand.result(receipt)).toMatchObject({ total: 0 })
    await expect.poll(() => done).toEqual(['yes'])
  })

  test('allowFailures, and the rest that is cancelled when more have failed', async () => {
    await using on = stage()
    const { done, worker } = recorder(new Set(['bad']))
    const members = ['bad', 'b', 'bad', 'c'].map((label) => step.with(label))
    const tolerant = await on.errand.dispatch(batch(members, { allowFailures: 2 }))
    const any = await on.errand.dispatch(batch([step.with('bad')], { allowFailures: true }))
    const strict = await on.errand.dispatch(chain(members))
    const goesOn = await on.errand.dispatch(batch(members, { stopOnFailure: false }))
    await on.work(worker())
    expect(await on.errand.result(tolerant)).toMatchObject({ succeeded: 2, failed: 2 })
    expect(await on.errand.result(any)).toMatchObject({ failed: 1 })
    expect(await catchRefusal(() => on.errand.result(strict))).toMatchObject({ code: 'E_RESULT_FAILED' })
    expect(await on.errand.flows.get(strict.id)).toMatchObject({
      state: 'failed',
      failed: 1,
      cancelled: 3,
      cancelRequested: { by: 'flow' },
    })
    await catchRefusal(() => on.errand.result(goesOn))
    expect(await on.errand.flows.get(goesOn.id)).toMatchObject({ state: 'failed', succeeded: 2, failed: 2 })
    expect(done.filter((label) => label === 'c')).toHaveLength(2)
  })

  test('after ended() runs however that ends, and what failed there does not count', async () => {
    await using on = stage()
    const { done, worker } = recorder(new Set(['bad']))
    await on.work(worker())
    const receipt = await on.errand.dispatch(
      flow((f) => {
        f.job(step, 'a', { after: [ended(f.job(step, 'bad'))] })
        f.job(step, 'bad', { mayFail: true })
      }),
    )
    expect(await on.errand.result(receipt)).toMatchObject({ succeeded: 1, failed: 2, forgiven: 2 })
    expect(done).toEqual(['a'])
  })
})

async function endOf(on: Stage, ...labels: readonly string[]): Promise<void> {
  for (const label of labels) {
    await expect
      .poll(async () => (await on.errand.jobs.list()).find(({ payload }) => payload === label)?.state)
      .toBe('succeeded')
  }
}

/** Runs twice: the first run asks for the second. */
const twice = defineJob({ name: 'twice', retry: { attempts: 2, backoff: fixed(0) } })

function runTwice(run: (ctx: Context) => Promise<void>) {
  return handle(twice, async (_, ctx) => {
    await run(ctx)
    return ctx.run === 1 ? ctx.retry({ after: 0 }) : undefined
  })
}

describe('a flow and a handler', () => {
  test('a handler adds members to its own flow while it runs; a second run adds nothing', async () => {
    await using on = stage()
    const { done, worker } = recorder()
    const statuses: unknown[] = []
    const add = runTwice(async ({ flow: its }) => {
      const receipts = await its?.add(['x', 'x', 'y'].map((label) => step.with(label)))
      statuses.push(receipts?.map(({ status }) => status))
    })
    await on.work(worker(add))
    const receipt = await on.errand.dispatch(batch([twice.with()], { onSuccess: step.with('yes') }))
    expect(await on.errand.result(receipt)).toMatchObject({ total: 4, succeeded: 4 })
    expect(statuses).toEqual([Array(3).fill('added'), Array(3).fill('duplicate')])
    await expect.poll(() => done.toSorted()).toEqual(['x', 'x', 'y', 'yes'])
    const parents = (await on.errand.jobs.list({ job: step })).map(({ parentId }) => parentId !== undefined)
    expect(parents.filter(Boolean)).toHaveLength(3)
  })

  test('a flow that a handler dispatches is the same one in a second run, and `once` names it', async () => {
    await using on = stage()
    const { done, worker } = recorder()
    const receipts: FlowReceipt<unknown>[] = []
    const dispatch = runTwice(async (ctx) => {
      receipts.push(await ctx.dispatch(batch([step.with('a'), step.with('b')])))
      receipts.push(await ctx.dispatch(chain([step.with(`run ${ctx.run}`)]), { once: 'chain' }))
    })
    await on.work(worker(dispatch))
    const { id } = await on.errand.dispatch(twice)
    await on.until(id, 'succeeded')
    expect(receipts.map(({ status }) => status)).toEqual(['added', 'added', 'duplicate', 'duplicate'])
    expect(new Set(receipts.map((each) => each.id)).size).toBe(2)
    await expect.poll(() => done.toSorted()).toEqual(['a', 'b', 'run 1'])
  })

  test('a job of no flow has none, and one whose flow is cancelled adds nothing', async () => {
    await using on = stage()
    const codes: unknown[] = []
    const { promise: cancelled, resolve } = Promise.withResolvers<void>()
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>()
    const add = handle(twice, async (_, ctx) => {
      if (!ctx.flow) return codes.push('none')
      begin()
      await cancelled
      codes.push((await catchRefusal(async () => ctx.flow?.add([step.with('late')]))).code)
      return ctx.cancel()
    })
    await on.work(defineWorker({ handlers: [add] }))
    await on.errand.result(await on.errand.dispatch(twice))
    const { id } = await on.errand.dispatch(batch([twice.with()]))
    await begun
    await on.errand.flows.cancel(id, { by: 'mia' })
    resolve()
    await expect.poll(() => codes).toEqual(['none', 'E_FLOW_ENDED'])
  })
})

describe('duplicates', () => {
  test('a flow with an id that is stored is a duplicate, and stores nothing', async () => {
    await using on = stage()
    const id = randomUUID()
    const first = await on.errand.dispatch(batch([step.with('a')]), { id })
    const second = await on.errand.dispatch(batch([step.with('a'), step.with('b')]), { id })
    expect([first.status, second.status, second.id]).toEqual(['added', 'duplicate', id])
    expect(await on.errand.jobs.list()).toHaveLength(1)
  })

  test("onDuplicate 'skip' leaves out who is a duplicate, and what needs it needs the live job", async () => {
    await using on = stage()
    const { done, worker } = recorder()
    const held = await on.errand.dispatch(only, 'a')
    const receipt = await on.errand.dispatch(
      flow((f) => {
        const a = f.job(only, 'a')
        const again = f.job(only, 'b')
        f.job(only, 'b')
        f.job(step, 'z', { after: [a, again] })
      }),
      { onDuplicate: 'skip' },
    )
    expect(receipt.status).toBe('added')
    expect(receipt.skipped).toContain(held.id)
    expect(await on.errand.flows.get(receipt.id)).toMatchObject({ total: 2 })
    await on.work(worker())
    await on.errand.result(receipt)
    expect(done.toSorted()).toEqual(['a', 'b', 'z'])
    expect(done.at(-1)).toBe('z')
  })

  test('a job with needs that is refused takes no other dispatch of the same moment with it', async () => {
    await using on = stage()
    const nobody = randomUUID()
    const refused = catchRefusal(() => on.errand.dispatch(step, 'needs', { after: [nobody] }))
    const plain = on.errand.dispatch(step, 'plain')
    expect(await refused).toMatchObject({ code: 'E_NEED_UNKNOWN', ids: [nobody] })
    expect((await plain).status).toBe('added')
  })

  test('a job with needs whose unique key is held is a duplicate, as any job', async () => {
    await using on = stage()
    const held = await on.errand.dispatch(only, 'a')
    const other = await on.errand.dispatch(step, 'b')
    expect(await on.errand.dispatch(only, 'a', { after: [other] })).toEqual({
      id: held.id,
      status: 'duplicate',
    })
    const many = await on.errand.dispatchMany([
      only.with('a', { after: [other] }),
      only.with('c', { after: [other] }),
    ])
    expect(many.map(({ status }) => status)).toEqual(['duplicate', 'added'])
    expect(many[0].id).toBe(held.id)
  })
})

describe('operators', () => {
  test('see flows and their members, and follow one to its end', async () => {
    await using on = stage()
    const { worker } = recorder()
    const receipt = await on.errand.dispatch(
      chain([step.with('a'), batch([step.with('b')], { name: 'inner' }), step.with('c')], {
        name: 'all',
        tags: ['t'],
        meta: { tenant: 'acme' },
      }),
    )
    const { id } = receipt
    expect(await on.errand.flows.get(id)).toEqual({
      id,
      name: 'all',
      state: 'running',
      total: 3,
      succeeded: 0,
      failed: 0,
      cancelled: 0,
      forgiven: 0,
      ended: 0,
      open: 3,
      allowFailures: 0,
      stopOnFailure: true,
      dispatchedAt: expect.any(Date),
      tags: ['t'],
      meta: { tenant: 'acme' },
    })
    const members = await on.errand.flows.members(id)
    expect(members.map(({ name, isFlow, state }) => [name, isFlow, state])).toEqual([
      ['inner', true, 'running'],
      ['step', false, 'ready'],
      ['step', false, 'blocked'],
    ])
    expect(await on.errand.flows.members(id, { limit: 1, after: members[0]?.index })).toEqual([members[1]])
    expect((await on.errand.flows.list({ name: 'all' })).map((each) => each.id)).toEqual([id])
    expect((await on.errand.flows.list()).map(({ flow: outer }) => outer)).toContain(id)
    expect(await on.errand.flows.list({ state: 'failed' })).toEqual([])
    expect(await on.errand.flows.get(randomUUID())).toBeUndefined()

    const waiting = members[2]?.id ?? ''
    expect(await on.errand.jobs.get(waiting)).toMatchObject({ flow: id, waitsForNeeds: true })
    expect(await on.errand.jobs.needs(waiting)).toMatchObject([{ on: members[0]?.id, isFlow: true }])
    expect(await on.errand.jobs.neededBy(members[0]?.id ?? '')).toEqual([waiting])

    const seen: number[] = []
    const following = (async () => {
      for await (const now of on.errand.flows.follow(id)) seen.push(now.ended)
    })()
    await on.work(worker())
    await following
    expect(seen.at(-1)).toBe(3)
    expect(isGrowing(seen)).toBe(true)
  })

  test('cancel what waits of a flow, and replay it', async () => {
    await using on = stage()
    const fails = new Set(['b'])
    const { done, worker } = recorder(fails)
    await on.work(worker())
    const { id } = await on.errand.dispatch(
      chain([step.with('a'), step.with('b'), step.with('c')], { onSuccess: step.with('yes') }),
    )
    expect(await catchRefusal(() => on.errand.flows.replay(id, { by: 'mia' }))).toMatchObject({
      code: 'E_NOT_ALLOWED',
    })
    await catchRefusal(() => on.errand.result({ kind: 'flow', id }))
    expect(await on.errand.flows.cancel(id, { by: 'mia' })).toBe(0)
    expect(await on.errand.flows.replay(id, { by: 'mia', dryRun: true })).toBe(2)
    fails.clear()
    expect(await on.errand.flows.replay(id, { by: 'mia' })).toBe(2)
    expect(await on.errand.result({ kind: 'flow', id })).toMatchObject({ succeeded: 3 })
    await expect.poll(() => done).toEqual(['a', 'b', 'c', 'yes'])

    const second = await on.errand.dispatch(chain([step.with('a', { delay: '1h' }), step.with('b')]))
    expect(await on.errand.flows.cancel(second.id, { by: 'mia', reason: 'no use' })).toBe(2)
    expect(await catchRefusal(() => on.errand.result(second))).toMatchObject({
      code: 'E_RESULT_FAILED',
      message: expect.stringContaining('was cancelled'),
    })
    expect(await on.errand.flows.get(second.id)).toMatchObject({
      cancelRequested: { by: 'mia', reason: 'no use' },
    })
    for (const act of ['cancel', 'replay'] as const) {
      const refused = catchRefusal(() => on.errand.flows[act](randomUUID(), { by: 'mia' }))
      expect(await refused).toMatchObject({ code: 'E_NOT_FOUND' })
      expect(await catchRefusal(() => on.errand.flows[act](id, {} as never))).toMatchObject({
        code: 'E_OPTION',
      })
    }
  })

  test('whoever waits for a flow stops waiting in time, by a signal, and with the instance', async () => {
    await using on = stage()
    const receipt = await on.errand.dispatch(batch([step.with('a', { delay: '1h' })]))
    const code = (wait: () => Promise<unknown>) => catchRefusal(wait).then((refusal) => refusal.code)
    expect(await code(() => on.errand.result(receipt, { timeout: 20 }))).toBe('E_RESULT_TIMEOUT')
    expect(await code(() => on.errand.result({ kind: 'flow', id: randomUUID() }))).toBe('E_NOT_FOUND')
    const signal = AbortSignal.abort(new Error('enough'))
    await expect(on.errand.result(receipt, { signal })).rejects.toThrow('enough')
    const waiting = code(() => on.errand.result(receipt))
    await on.errand.close()
    expect(await waiting).toBe('E_CLOSED')
  })
})
