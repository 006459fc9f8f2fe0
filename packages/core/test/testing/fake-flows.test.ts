import { expect, test } from 'vitest'
import { batch, chain, createErrand, defineWorker, flow, handle } from '../../src/index.ts'
import { fakeContext, fakeErrand, silentLogger } from '../../src/testing.ts'
import { catchRefusal } from '../catch-refusal.ts'
import { auditBooks, buildReport, countSales, renderPage, step } from '../flows/jobs.ts'

/** What an application's module would export: it could not connect anywhere. */
const errand = createErrand({ log: 'postgres://nowhere.invalid/app', logger: silentLogger })

const orderReport = (month: string, queue?: string) =>
  errand.dispatch(
    flow(
      (f) => {
        const sales = f.job(countSales, { month })
        const audit = f.job(auditBooks, { month }, { delay: '10m', queue })
        const pages = f.batch([1, 2].map((page) => renderPage.with({ page })))
        f.job(buildReport, { month }, { needs: { sales, pages, audit } })
      },
      { name: `report ${month}`, onEnd: step.with('tell') },
    ),
  )

test('what was dispatched is asked for by job, queue, delay and flow; nothing else was', async () => {
  using fake = fakeErrand(errand)
  const { id } = await orderReport('may', 'slow')
  await errand.dispatch(step, 'apart')

  expect(fake.dispatched(countSales)).toMatchObject([{ payload: { month: 'may' }, flow: id, needs: [] }])
  expect(fake.dispatched(auditBooks, { queue: 'slow', delay: '10m' })).toHaveLength(1)
  expect(fake.dispatched(auditBooks, { delay: '11m' })).toEqual([])
  expect(fake.dispatched(step, { flow: 'report may' })).toEqual([])
  expect(fake.dispatched(buildReport, { flow: 'report may' })[0]?.needs).toHaveLength(3)
  expect(fake.dispatched().map(({ name }) => name)).toEqual([
    'report.count-sales',
    'report.audit',
    'report.render-page',
    'report.render-page',
    'report.build',
    'step',
    'step',
  ])
  const [report, pages] = fake.flows()
  expect(report).toMatchObject({ id, name: 'report may' })
  expect(report?.jobs.map(({ name }) => name)).toEqual(['report.count-sales', 'report.audit', 'report.build'])
  expect(pages).toMatchObject({ flow: id, jobs: [{ payload: { page: 1 } }, { payload: { page: 2 } }] })
  expect(fake.flows('report june')).toEqual([])
  expect(await catchRefusal(async () => fake.dispatched(step, { queu: 'a' } as object))).toMatchObject({
    code: 'E_OPTION',
  })
})

test('a flow runs, and waits for the clock where its jobs do', async () => {
  using fake = fakeErrand(errand)
  const told: unknown[] = []
  const worker = defineWorker({
    handlers: [
      handle(countSales, () => ({ cents: 3 })),
      handle(auditBooks, () => ({ ok: true })),
      handle(renderPage, ({ page }) => ({ url: `/${page}` })),
      handle(buildReport, async (_, ctx) => {
        const urls: string[] = []
        for await (const { result } of ctx.needs.pages()) urls.push(result.url)
        told.push(await ctx.needs.sales(), urls, await ctx.needs.audit())
      }),
      handle(step, (label) => void told.push(label)),
    ],
  })
  const receipt = await orderReport('may')
  expect(await fake.run(worker)).toMatchObject({ succeeded: 3 })
  expect(await errand.flows.get(receipt.id)).toMatchObject({ state: 'running', ended: 2, total: 4 })
  await fake.advance('10m')
  expect(await fake.run(worker)).toMatchObject({ succeeded: 3, failed: 0 })
  expect(told).toEqual([{ cents: 3 }, ['/1', '/2'], { state: 'succeeded', result: { ok: true } }, 'tell'])
  expect(await errand.result(receipt)).toMatchObject({ succeeded: 4 })
})

test('only some jobs run, really no others, and the next run goes on with the rest', async () => {
  using fake = fakeErrand(errand)
  const ran: string[] = []
  const worker = defineWorker({
    handlers: [
      handle(step, (label) => void ran.push(label)),
      handle(renderPage, ({ page }) => {
        ran.push(`page ${page}`)
        return { url: '' }
      }),
    ],
  })
  await errand.dispatch(step, 'a')
  const receipt = await errand.dispatch(chain([renderPage.with({ page: 1 }), step.with('b'), step.with('c')]))
  expect(await fake.run(worker, { only: [renderPage] })).toMatchObject({ succeeded: 1 })
  expect(ran).toEqual(['page 1'])
  expect(await fake.run(worker, { only: [] })).toMatchObject({ succeeded: 0 })
  await fake.run(worker)
  expect(ran.toSorted()).toEqual(['a', 'b', 'c', 'page 1'])
  expect(await errand.result(receipt)).toMatchObject({ succeeded: 3 })
  expect(await catchRefusal(() => fake.run(worker, { only: step as never }))).toMatchObject({
    code: 'E_OPTION',
  })
})

test('a large flow that fails is cancelled to its last member in one run', async () => {
  using fake = fakeErrand(errand)
  const worker = defineWorker({
    concurrency: 1,
    handlers: [
      handle(step, (label) => {
        if (label === 'bad') throw new Error('bad')
      }),
    ],
  })
  const first = step.with('bad')
  const rest = Array.from({ length: 1_200 }, () => step.with('a', { delay: '1d' }))
  const receipt = await errand.dispatch(batch([first, ...rest]))
  await fake.run(worker)
  expect(await errand.flows.get(receipt.id)).toMatchObject({ state: 'failed', failed: 1, cancelled: 1_200 })
})

test('a handler is called by hand with what it needs, and adds to a flow', async () => {
  const ctx = fakeContext(buildReport, {
    needs: {
      sales: { cents: 5 },
      pages: [{ url: '/a' }, { url: '/b' }],
      audit: { state: 'failed', error: new TypeError('no') },
    },
    flow: '01a220b6-6f60-7003-a85a-2dd0058bb314',
  })
  expect(await ctx.needs.sales()).toEqual({ cents: 5 })
  const pages: unknown[] = []
  for await (const page of ctx.needs.pages()) pages.push(page)
  expect(pages).toEqual([
    { index: 0, result: { url: '/a' } },
    { index: 1, result: { url: '/b' } },
  ])
  expect(await ctx.needs.audit()).toMatchObject({
    state: 'failed',
    error: { name: 'TypeError', message: 'no' },
  })
  await ctx.flow?.add([step.with('x')])
  await ctx.dispatch(chain([step.with('y')]))
  expect(ctx.dispatched.map(({ payload }) => payload)).toEqual(['x', 'y'])

  const bare = fakeContext(buildReport)
  expect(bare.flow).toBeUndefined()
  expect(await catchRefusal(() => bare.needs.sales())).toMatchObject({ code: 'E_NEED_UNKNOWN' })
})
