import { randomUUID } from 'node:crypto'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { batch, chain, defineJob, ended, flow, many } from '../../src/index.ts'
import type { FlowBuilder, FlowRequest, Needed } from '../../src/index.ts'
import { findBody } from '../../src/define/flow.ts'
import type { FlowBody } from '../../src/define/flow-body.ts'
import { deepestFlow, planFlow, sortJobs } from '../../src/dispatch/plan.ts'
import type { Plan, PlannedJob } from '../../src/dispatch/plan.ts'
import { catchRefusal } from '../catch-refusal.ts'
import { testInstance } from '../instance.ts'
import { auditBooks, buildReport, countSales, only, renderPage, step } from './jobs.ts'

function bodyOf(request: FlowRequest<unknown>): FlowBody {
  const body = findBody(request)
  if (body) return body
  throw new Error('it is no flow')
}

/** A flow as the log gets it, with small ids. */
function plan(request: FlowRequest<unknown>): Plan & { readonly sorted: readonly PlannedJob[] } {
  let count = 0
  const planned = planFlow(bodyOf(request), { flow: 'top', next: () => `#${++count}` }, {})
  return { ...planned, sorted: sortJobs(planned.flows, planned.jobs) }
}

const labels = (jobs: readonly PlannedJob[]): readonly unknown[] => jobs.map(({ request }) => request.payload)
const needsOf = ({ sorted }: { sorted: readonly PlannedJob[] }, label: string): readonly string[] =>
  sorted.find(({ request }) => request.payload === label)?.needs.map(({ on }) => on) ?? []

describe('a flow as it is built', () => {
  test('a chain is one need from each job to the one before it', () => {
    const built = plan(chain([step.with('a'), step.with('b'), step.with('c')]))
    expect(labels(built.sorted)).toEqual(['a', 'b', 'c'])
    expect(built.sorted.map(({ needs }) => needs)).toEqual([
      [],
      [{ on: '#1', mode: 'succeeded' }],
      [{ on: '#2', mode: 'succeeded' }],
    ])
  })

  test('a batch in a chain is one need, and two batches of many are not the product of them', () => {
    const many = (name: string) => batch(Array.from({ length: 300 }, (_, n) => step.with(`${name}${n}`)))
    const built = plan(chain([step.with('a'), many('b'), many('c'), step.with('z')]))
    const first = built.flows[1]?.id
    expect(needsOf(built, 'b7')).toEqual(['#1'])
    expect(needsOf(built, 'c7')).toEqual([first])
    expect(built.sorted.flatMap(({ needs }) => needs)).toHaveLength(601)
  })

  test('who waits for an empty flow waits for what it would have waited for', () => {
    const built = plan(chain([step.with('a'), batch([]), chain([]), step.with('z')]))
    expect(needsOf(built, 'z')).toContain('#1')
  })

  test('only those of an inner flow that need no other one in it wait for what the flow comes after', () => {
    const built = plan(
      flow((f) => {
        const a = f.job(step, 'a')
        f.flow(chain([step.with('b'), batch([step.with('c')]), step.with('d')]), { after: [a] })
      }),
    )
    expect(needsOf(built, 'b')).toEqual(['#1'])
    expect(needsOf(built, 'c')).toEqual([built.sorted.find((each) => each.request.payload === 'b')?.id])
    expect(needsOf(built, 'd')).toHaveLength(1)
  })

  test('callbacks need the flow and are no members of it', () => {
    const built = plan(
      batch([step.with('a')], {
        onSuccess: step.with('yes'),
        onFailure: step.with('no'),
        onEnd: step.with('done'),
      }),
    )
    expect(built.sorted.map(({ request, flow, needs }) => [request.payload, flow, ...needs])).toEqual([
      ['a', 'top'],
      ['yes', undefined, { on: 'top', mode: 'succeeded', name: 'onSuccess' }],
      ['no', undefined, { on: 'top', mode: 'unsuccessful', name: 'onFailure' }],
      ['done', undefined, { on: 'top', mode: 'ended', name: 'onEnd' }],
    ])
  })

  test('needs come first, by their names in the definition, and then what the job comes after', () => {
    const built = plan(
      flow((f) => {
        const sales = f.job(countSales, { month: 'm' })
        const audit = f.job(auditBooks, { month: 'm' })
        const pages = f.batch([renderPage.with({ page: 1 })])
        f.job(buildReport, { month: 'm' }, { needs: { audit, pages, sales }, after: [ended(sales)] })
      }),
    )
    expect(built.sorted.at(-1)?.needs).toEqual([
      { on: '#1', mode: 'succeeded', name: 'sales' },
      { on: '#3', mode: 'succeeded', name: 'pages' },
      { on: '#2', mode: 'ended', name: 'audit' },
      { on: '#1', mode: 'ended' },
    ])
  })

  test('the same flow may stand twice in another one', () => {
    const twice = batch([step.with('x')])
    const built = plan(
      flow((f) => {
        f.job(step, 'z', { after: [f.flow(twice), f.flow(twice)] })
      }),
    )
    expect(new Set(built.jobs.map(({ id }) => id)).size).toBe(3)
    expect(needsOf(built, 'z')).toEqual([built.flows[1]?.id, built.flows[2]?.id])
  })

  test('tags and meta of a flow go to its jobs and inner flows, and theirs go over it', () => {
    const built = plan(
      chain([batch([step.with('a')], { meta: { tenant: 'b' }, tags: ['inner'] })], {
        meta: { tenant: 'a', trace: 't' },
        tags: ['outer'],
      }),
    )
    expect(built.jobs[0]).toMatchObject({
      meta: { tenant: 'b', trace: 't' },
      tags: ['outer', 'inner'],
    })
    expect(built.flows[0]).toMatchObject({ tags: ['outer'], meta: { tenant: 'a', trace: 't' } })
  })
})

describe('what cannot be is refused where it is built', () => {
  const refusal = (build: () => unknown) => catchRefusal(async () => build())

  test('a job of another flow', async () => {
    let stray: ReturnType<FlowBuilder['job']> | undefined
    flow((f) => (stray = f.job(step, 'a')))
    expect(await refusal(() => flow((f) => f.job(step, 'b', { after: stray ? [stray] : [] })))).toMatchObject(
      { code: 'E_OPTION', message: expect.stringContaining('another flow') },
    )
    expect(await refusal(() => batch([step.with('b', { after: stray ? [stray] : [] })]))).toMatchObject({
      code: 'E_OPTION',
    })
  })

  test('more than 1,000 needs of one job', async () => {
    const refused = await refusal(() =>
      flow((f) => {
        const all = Array.from({ length: 1_001 }, () => f.job(step, 'a'))
        f.job(step, 'z', { after: all })
      }),
    )
    expect(refused).toMatchObject({ code: 'E_NEED_LIMIT', message: expect.stringContaining('batch') })
  })

  test('a need that is missing, unknown, or of the wrong kind', async () => {
    for (const needs of [
      undefined,
      {},
      { sales: randomUUID() },
      { sales: randomUUID(), pages: randomUUID(), audit: randomUUID(), more: randomUUID() },
      { sales: 7, pages: randomUUID(), audit: randomUUID() },
    ]) {
      expect(
        await refusal(() => batch([buildReport.with({ month: 'm' }, { needs } as never)])),
      ).toMatchObject({ code: 'E_OPTION' })
    }
    expect(
      await refusal(() =>
        flow((f) => {
          const sales = f.job(countSales, { month: 'm' })
          f.job(buildReport, { month: 'm' }, { needs: { sales, pages: sales, audit: sales } } as never)
        }),
      ),
    ).toMatchObject({ code: 'E_OPTION', message: expect.stringContaining('f.batch()') })
    expect(
      await refusal(() => batch([step.with('a', { needs: { sales: randomUUID() } } as never)])),
    ).toMatchObject({ code: 'E_OPTION', message: expect.stringContaining('after') })
  })

  test('an asynchronous build, a builder that is kept, an unknown option', async () => {
    let kept: FlowBuilder | undefined
    flow((f) => (kept = f))
    expect(await refusal(() => kept?.job(step, 'late'))).toMatchObject({ code: 'E_OPTION' })
    expect(await refusal(() => flow(async () => {}))).toMatchObject({ code: 'E_OPTION' })
    for (const options of [{ onsuccess: step.with('a') }, { allowFailures: -1 }, { name: '' }, { name: 7 }])
      expect(await refusal(() => batch([], options as never))).toMatchObject({ code: 'E_OPTION' })
    for (const none of [undefined, [step], [7], 'a'])
      expect(await refusal(() => batch(none as never))).toMatchObject({ code: 'E_OPTION' })
  })

  test('names of needs that callbacks have, and needs that are no jobs', async () => {
    for (const needs of [{ onSuccess: step }, { a: 7 }, { a: many('step' as never) }, [step], { '': step }])
      expect(await refusal(() => defineJob({ name: 'x', needs: needs as never }))).toMatchObject({
        code: 'E_OPTION',
      })
  })
})

describe('what cannot be is refused where it is dispatched, and nothing is stored', () => {
  async function refused(request: FlowRequest<unknown>, options?: { readonly id?: string }) {
    await using test = testInstance()
    const refusal = await catchRefusal(() => test.errand.dispatch(request, options))
    expect(await test.errand.jobs.list()).toEqual([])
    expect(await test.errand.flows.list()).toEqual([])
    return refusal
  }

  test('a cycle, also by way of ids', async () => {
    const [a, b, own] = [randomUUID(), randomUUID(), randomUUID()]
    const cycle = await refused(
      flow((f) => {
        f.job(step, 'a', { id: a, after: [b] })
        f.job(step, 'b', { id: b, after: [a] })
      }),
    )
    expect(cycle).toMatchObject({ code: 'E_NEED_CYCLE', ids: [a, b] })
    expect(await refused(flow((f) => f.job(step, 'a', { id: a, after: [a] })))).toMatchObject({
      code: 'E_NEED_CYCLE',
    })
    // A member that waits for its own flow.
    expect(await refused(batch([step.with('a', { after: [own] })]), { id: own })).toMatchObject({
      code: 'E_NEED_CYCLE',
    })
  })

  test('a need on a job that is not there', async () => {
    const nobody = randomUUID()
    expect(await refused(batch([step.with('a'), step.with('b', { after: [nobody] })]))).toMatchObject({
      code: 'E_NEED_UNKNOWN',
      ids: [nobody],
    })
  })

  test('too deep, too large, one id twice', async () => {
    let deep: FlowRequest<unknown> = batch([step.with('a')])
    for (let depth = 1; depth < deepestFlow; depth += 1) deep = chain([deep])
    await using test = testInstance()
    await test.errand.dispatch(deep)
    expect(await refused(chain([deep]))).toMatchObject({ code: 'E_FLOW_DEPTH' })
    expect(await refused(batch(Array.from({ length: 20_001 }, () => step.with('a'))))).toMatchObject({
      code: 'E_FLOW_TOO_LARGE',
    })
    const id = randomUUID()
    expect(await refused(batch([step.with('a', { id }), step.with('b', { id })]))).toMatchObject({
      code: 'E_OPTION',
    })
  })

  test('a payload that does not fit is named by its index, in the order of the building', async () => {
    const refusal = await refused(
      flow((f) => {
        f.job(step, 'a')
        f.batch([step.with('b'), step.with(7 as never)])
      }),
    )
    expect(refusal).toMatchObject({ code: 'E_BATCH_REFUSED' })
    expect(refusal.requests?.map((each) => each?.code)).toEqual([undefined, undefined, 'E_PAYLOAD_INVALID'])
  })

  test('a member whose unique key a live job holds: refused with the ids of those', async () => {
    await using test = testInstance()
    const { id } = await test.errand.dispatch(only, 'a')
    expect(
      await catchRefusal(() => test.errand.dispatch(batch([only.with('b'), only.with('a')]))),
    ).toMatchObject({ code: 'E_FLOW_DUPLICATE', ids: [id] })
    expect(await test.errand.jobs.list()).toHaveLength(1)
  })
})

/** A flow of random shape: each node needs some of the earlier ones, by refs or by ids; ids may name later ones. */
interface RandomNode {
  readonly after: readonly number[]
  readonly by: 'ref' | 'id'
  readonly inner: number
}

const randomNodes = fc.array(
  fc.record({
    after: fc.array(fc.nat(30), { maxLength: 4 }),
    by: fc.constantFrom('ref' as const, 'id' as const),
    inner: fc.integer({ min: -3, max: 3 }),
  }),
  { maxLength: 20 },
)

function buildRandom(nodes: readonly RandomNode[], forward: boolean): FlowRequest<unknown> {
  const ids = nodes.map(() => randomUUID())
  return flow((f) => {
    const refs: ReturnType<FlowBuilder['job']>[] = []
    for (const [index, { after, by, inner }] of nodes.entries()) {
      const jobsOnly = by === 'id' && inner < 0
      const targets = after
        .map((at) => (forward && jobsOnly ? at % nodes.length : index === 0 ? -1 : at % index))
        .filter((at) => at >= 0)
        .flatMap((at): Needed[] => {
          const target = nodes[at]
          if (jobsOnly && target && target.inner < 0) return [ids[at] as string]
          const ref = refs[at]
          return ref && at < index ? [ref] : []
        })
      const members = Array.from({ length: Math.max(0, inner) }, (_, n) => step.with(`${index}.${n}`))
      refs.push(
        (inner < 0
          ? f.job(step, `${index}`, { id: ids[index], after: targets })
          : f.flow(batch(members), { after: targets })) as never,
      )
    }
  })
}

test('flows of random shape: what is needed comes first, each job once, otherwise as they were built', () => {
  fc.assert(
    fc.property(randomNodes, (nodes) => {
      const { flows, jobs, sorted } = plan(buildRandom(nodes, false))
      expect(sorted.map(({ id }) => id)).toEqual(jobs.map(({ id }) => id))
      checkOrder(flows, sorted)
    }),
  )
})

test('flows of random shape with ids that point ahead: sorted, or refused as a cycle', () => {
  let cycles = 0
  let sortedAnew = 0
  fc.assert(
    fc.property(randomNodes, (nodes) => {
      const request = buildRandom(nodes, true)
      try {
        const { flows, jobs, sorted } = plan(request)
        checkOrder(flows, sorted)
        expect(sorted.map(({ id }) => id).toSorted()).toEqual(jobs.map(({ id }) => id).toSorted())
        if (sorted.some(({ id }, index) => jobs[index]?.id !== id)) sortedAnew += 1
      } catch (error) {
        expect(error).toMatchObject({ code: 'E_NEED_CYCLE' })
        cycles += 1
      }
    }),
    { numRuns: 300 },
  )
  expect(cycles).toBeGreaterThan(5)
  expect(sortedAnew).toBeGreaterThan(5)
})

function checkOrder(flows: Plan['flows'], sorted: readonly PlannedJob[]): void {
  const place = new Map(sorted.map(({ id }, index) => [id, index]))
  const lastOf = (flow: string): number =>
    Math.max(
      -1,
      ...sorted.flatMap((job, index) => (job.flow === flow ? [index] : [])),
      ...flows.flatMap((inner) => (inner.flow === flow ? [lastOf(inner.id)] : [])),
    )
  for (const [index, { needs }] of sorted.entries())
    for (const { on } of needs) expect(place.get(on) ?? lastOf(on)).toBeLessThan(index)
}
