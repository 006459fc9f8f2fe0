import { expectTypeOf, test } from 'vitest'
import { z } from 'zod'
import { batch, chain, defineJob, ended, flow, handle, many } from '../../src/index.ts'
import type {
  AnyJob,
  Errand,
  FlowCounts,
  FlowReceipt,
  FlowRequest,
  ManyRef,
  NeedEnd,
  Receipt,
  Ref,
} from '../../src/index.ts'

declare const errand: Errand
declare const tx: { query(text: string, values?: unknown[]): Promise<{ rows: unknown[] }> }

const Month = z.object({ month: z.string() })
const countSales = defineJob({
  name: 'report.count-sales',
  payload: Month,
  returns: z.object({ cents: z.number() }),
})
const renderPage = defineJob({
  name: 'report.render-page',
  payload: z.object({ page: z.number() }),
  returns: z.object({ url: z.string() }),
})
const auditBooks = defineJob({
  name: 'report.audit',
  payload: Month,
  returns: z.object({ ok: z.boolean() }),
})
const plain = defineJob({ name: 'plain' })
const buildReport = defineJob({
  name: 'report.build',
  payload: Month,
  needs: { sales: countSales, pages: many(renderPage), audit: ended(auditBooks) },
})
const month = '2026-01'

test('a handler reads what its definition needs', () => {
  handle(buildReport, async ({ month: of }, ctx) => {
    expectTypeOf(of).toEqualTypeOf<string>()
    expectTypeOf(await ctx.needs.sales()).toEqualTypeOf<{ cents: number }>()
    for await (const { index, result } of ctx.needs.pages()) {
      expectTypeOf(index).toEqualTypeOf<number>()
      expectTypeOf(result).toEqualTypeOf<{ url: string }>()
    }
    const audit = await ctx.needs.audit()
    expectTypeOf(audit).toEqualTypeOf<NeedEnd<{ ok: boolean }>>()
    if (audit.state === 'succeeded') expectTypeOf(audit.result.ok).toEqualTypeOf<boolean>()
    else expectTypeOf(audit.error).toEqualTypeOf<Error | undefined>()
    // @ts-expect-error -- an unknown need
    void ctx.needs.nothing
    // @ts-expect-error -- only if it is known to have succeeded
    void audit.result
  })
  handle(plain, async (_, ctx) => {
    // @ts-expect-error -- it needs nothing
    void ctx.needs.sales
    await ctx.flow?.add([renderPage.with({ page: 1 })], { tx })
    // @ts-expect-error -- it may be of no flow
    void ctx.flow.id
  })
})

test('a flow gives each job what it needs', () => {
  const request = flow((f) => {
    const sales = f.job(countSales, { month })
    const audit = f.job(auditBooks, { month }, { mayFail: true })
    const pages = f.batch([renderPage.with({ page: 1 })], { allowFailures: 1 })
    expectTypeOf(sales).toEqualTypeOf<Ref<{ cents: number }>>()
    expectTypeOf(pages).toEqualTypeOf<ManyRef<{ url: string }>>()
    f.job(buildReport, { month }, { needs: { sales, pages, audit } })
    f.job(plain, undefined, { after: [pages, ended(sales), 'an id'] })
    f.job(plain)
    f.flow(chain([plain.with(), countSales.with({ month })]), { after: [audit] })
    // @ts-expect-error -- a need is missing
    f.job(buildReport, { month }, { needs: { sales, pages } })
    // @ts-expect-error -- the options with the needs are missing
    f.job(buildReport, { month })
    // @ts-expect-error -- of another result
    f.job(buildReport, { month }, { needs: { sales: audit, pages, audit } })
    // @ts-expect-error -- one in place of many
    f.job(buildReport, { month }, { needs: { sales, pages: sales, audit } })
    // @ts-expect-error -- many in place of one
    f.job(buildReport, { month }, { needs: { sales: pages, pages, audit } })
    // @ts-expect-error -- many of another result
    f.job(buildReport, { month }, { needs: { sales, pages: f.batch([countSales.with({ month })]), audit } })
    // @ts-expect-error -- this job needs nothing
    f.job(countSales, { month }, { needs: { sales } })
    // @ts-expect-error -- a wrong payload
    f.job(countSales, { mont: month })
    // @ts-expect-error -- a job is no ref
    f.job(plain, undefined, { after: [countSales] })
  })
  expectTypeOf(request).toEqualTypeOf<FlowRequest<unknown>>()
})

test('batches and chains', () => {
  expectTypeOf(batch([renderPage.with({ page: 1 })])).toEqualTypeOf<FlowRequest<{ url: string }>>()
  expectTypeOf(batch([1, 2].map((page) => renderPage.with({ page })))).toEqualTypeOf<
    FlowRequest<{ url: string }>
  >()
  expectTypeOf(batch([renderPage.with({ page: 1 }), countSales.with({ month })])).toEqualTypeOf<
    FlowRequest<{ url: string } | { cents: number }>
  >()
  batch([], { onSuccess: plain.with(), onFailure: plain.with(), onEnd: plain.with(), stopOnFailure: false })
  chain([countSales.with({ month }), flow(() => {}), plain.with()])
  // @ts-expect-error -- a definition is no request
  batch([plain])
  // @ts-expect-error -- not these names
  batch([plain.with()], { finally: plain.with() })
  // @ts-expect-error -- what the job needs is missing
  buildReport.with({ month })
})

test('dispatch takes a flow as it takes a job', async () => {
  const receipt = await errand.dispatch(batch([renderPage.with({ page: 1 })]), { tx, onDuplicate: 'skip' })
  expectTypeOf(receipt).toEqualTypeOf<FlowReceipt<{ url: string }>>()
  expectTypeOf(await errand.result(receipt, { timeout: '1h' })).toEqualTypeOf<FlowCounts>()
  const sales = await errand.dispatch(countSales, { month })
  expectTypeOf(sales).toEqualTypeOf<Receipt<{ cents: number }>>()
  const audit = await errand.dispatch(auditBooks, { month })
  await errand.dispatch(buildReport, { month }, { needs: { sales, pages: receipt, audit }, delay: '1m' })
  await errand.dispatch(plain, undefined, { after: [sales, receipt, ended(audit), sales.id] })
  // @ts-expect-error -- what it needs is missing
  await errand.dispatch(buildReport, { month })
  // @ts-expect-error -- one in place of many
  await errand.dispatch(buildReport, { month }, { needs: { sales, pages: sales, audit } })
  // @ts-expect-error -- many in place of one
  await errand.dispatch(buildReport, { month }, { needs: { sales: receipt, pages: receipt, audit } })
  // @ts-expect-error -- a flow has no delay
  await errand.dispatch(batch([plain.with()]), { delay: '1s' })
  // @ts-expect-error -- a flow has no payload
  await errand.dispatch(batch([plain.with()]), { month }, { tx })
})

test('definitions with needs are jobs as others', () => {
  expectTypeOf(buildReport).toExtend<AnyJob>()
  handle(plain, async (_, ctx) => {
    await ctx.dispatch(batch([plain.with()]), { once: 'all' })
    // @ts-expect-error -- what it needs is missing
    await ctx.dispatch(buildReport, { month })
  })
  // @ts-expect-error -- a text is no job
  defineJob({ name: 'a', needs: { sales: 'report.count-sales' } })
})
