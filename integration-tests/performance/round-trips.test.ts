// Counts the statements that the log gets. That decides the speed, and does not depend on the machine: a busy machine makes
// larger batches, so these bounds are right everywhere.
import { describe, expect, inject, it } from 'vitest'
import { z } from 'zod'
import { createErrand, defineJob, handle } from '@errand/core'
import { quietLogger, until } from '@errand/testkit'
import { scene } from '../fleet/shared.ts'
import { ceilings } from './ceilings.ts'
import { countStatements } from './statements.ts'

const count = defineJob({ name: 'count', queue: 'count' })

const keyed = defineJob({ name: 'keyed', queue: 'count', order: { key: () => 'hot' } })

const spread = defineJob({
  name: 'spread',
  queue: 'count',
  payload: z.number(),
  order: { key: (n) => `key ${n % 100}` },
})

const tagged = defineJob({ name: 'tagged', queue: 'count', payload: z.string(), tags: (tag) => [tag] })

describe.skipIf(inject('postgres') === undefined)('the round trips of jobs on PostgreSQL', () => {
  it('64 dispatches in flight share statements: fewer than one for twenty jobs', async () => {
    const { errand } = await scene('postgres')
    await errand.connect()
    const statements = countStatements()
    const jobs = 2_000
    let next = 0
    const dispatching = Array.from({ length: 64 }, async () => {
      while (next++ < jobs) await errand.dispatch(count)
    })
    await Promise.all(dispatching)
    expect(statements.of('errand_append_alike')).toBeGreaterThan(0)
    expect(statements.of('errand_append')).toBe(0)
    expect(statements.of('errand_append_alike')).toBeLessThan(jobs / 20)
  })

  it('a dispatch on an idle system wakes workers right behind its job: before the answer to that is here', async () => {
    const { errand } = await scene('postgres')
    await errand.dispatch(count)
    const statements = countStatements()
    let from = 0
    // If a wake-up was just sent, the next one waits, and then has its own statement.
    await until(async () => {
      from = statements.order.length
      await errand.dispatch(count)
      return statements.order[from + 1] === 'sent errand_notify'
    })
    // Nobody waits for the answer of the wake-up itself.
    const order = statements.order.slice(from).filter((step) => step !== 'answered errand_notify')
    expect(order).toEqual(['sent errand_append_alike', 'sent errand_notify', 'answered errand_append_alike'])
  })

  it('dispatchMany of 500 jobs is one statement', async () => {
    const { errand } = await scene('postgres')
    await errand.connect()
    const statements = countStatements()
    await errand.dispatchMany(Array.from({ length: 500 }, () => count.with(undefined)))
    expect(statements.of('errand_append_alike')).toBe(1)
    expect(statements.total() - statements.of('errand_notify') - statements.of('errand_append_alike')).toBe(0)
  })

  it('a worker with 50 slots takes and settles by batches: fewer than one statement for ten jobs, all told', async () => {
    const { errand } = await scene('postgres')
    const jobs = 2_000
    await errand.dispatchMany(Array.from({ length: jobs }, () => count.with(undefined)))
    const statements = countStatements()
    let ran = 0
    const worker = errand.work(
      { concurrency: 50, handlers: [handle(count, () => void (ran += 1))] },
      { signals: false },
    )
    await until(() => ran === jobs, { what: 'all jobs have run', withinMs: 30_000 })
    await worker.stop()
    expect(statements.of('errand_settle_succeeded')).toBeGreaterThan(0)
    expect(statements.of('errand_settle')).toBe(0)
    expect(statements.total()).toBeLessThan(jobs / 10)
  })

  it('jobs of one ordering key stay below their ceiling of statements for each', async () => {
    const { errand } = await scene('postgres')
    const jobs = 200
    await errand.dispatchMany(Array.from({ length: jobs }, () => keyed.with(undefined)))
    const statements = countStatements()
    let ran = 0
    const handler = handle(keyed, () => void (ran += 1))
    const worker = errand.work({ concurrency: 50, handlers: [handler] }, { signals: false })
    await until(() => ran === jobs, { what: 'all jobs have run', withinMs: 60_000 })
    const total = statements.total()
    await worker.stop()
    expect(total / jobs).toBeLessThanOrEqual(ceilings.statementsOfHotKey)
    expect(total).toBeGreaterThan(jobs / 2)
    // The end of each job brings the next one.
    expect(statements.of('errand_settle_succeeded_take')).toBeGreaterThan(0.9 * jobs)
    expect(statements.of('errand_take')).toBeLessThan(0.1 * jobs)
    expect(statements.of('errand_settle')).toBe(0)
  })

  it('jobs of 100 ordering keys come with the ends of others: fewer than one statement for eight jobs', async () => {
    const { errand } = await scene('postgres')
    const jobs = 1_000
    await errand.dispatchMany(Array.from({ length: jobs }, (_, n) => spread.with(n)))
    const statements = countStatements()
    let ran = 0
    const handler = handle(spread, () => void (ran += 1))
    const worker = errand.work({ concurrency: 50, handlers: [handler] }, { signals: false })
    await until(() => ran === jobs, { what: 'all jobs have run', withinMs: 60_000 })
    expect(statements.of('errand_settle_succeeded_take')).toBeGreaterThan(0)
    expect(statements.of('errand_settle')).toBe(0)
    expect(statements.total() - statements.of('errand_notify')).toBeLessThan(jobs / 8)
    await worker.stop()
  })

  it('a worker with one slot sends the end of a job and the request for the next one together', async () => {
    const { errand } = await scene('postgres')
    const jobs = 30
    await errand.dispatchMany(Array.from({ length: jobs }, () => count.with(undefined)))
    const statements = countStatements()
    let ran = 0
    const handler = handle(count, async () => {
      // Too long to be prefetched.
      await new Promise((resolve) => setTimeout(resolve, 20))
      ran += 1
    })
    const worker = errand.work({ concurrency: 1, handlers: [handler] }, { signals: false })
    await until(() => ran === jobs, { what: 'all jobs have run', withinMs: 60_000 })
    expect(statements.of('errand_settle_succeeded_take')).toBeGreaterThan(0.9 * (jobs - 1))
    expect(statements.of('errand_take') + statements.of('errand_settle_succeeded')).toBeLessThan(0.2 * jobs)
    await worker.stop()
  })

  it('500 waiters for results of their own instance share reads: fewer than one statement for five waiters', async () => {
    const { errand } = await scene('postgres')
    const worker = errand.work({ concurrency: 50, handlers: [handle(count, () => {})] }, { signals: false })
    await worker.ready
    const jobs = 500
    const statements = countStatements()
    const receipts = await errand.dispatchMany(Array.from({ length: jobs }, () => count.with(undefined)))
    await Promise.all(receipts.map((receipt) => errand.result(receipt)))
    // Jobs that had ended before somebody asked: their records are read together.
    expect(statements.of('errand_get')).toBe(statements.of('errand_past'))
    expect(statements.total()).toBeLessThan(jobs / 5)
    await worker.stop()
  })

  it('500 waiters for results of another worker share reads: less than one statement for each', async () => {
    const { errand, url } = await scene('postgres')
    await using elsewhere = createErrand({ log: url, logger: quietLogger })
    const jobs = 500
    const receipts = await errand.dispatchMany(Array.from({ length: jobs }, () => count.with(undefined)))
    const statements = countStatements()
    const waiting = receipts.map((receipt) => errand.result(receipt))
    elsewhere.work({ concurrency: 50, handlers: [handle(count, () => {})] }, { signals: false })
    await Promise.all(waiting)
    expect(statements.of('errand_get')).toBeGreaterThan(0)
    expect(statements.of('errand_get')).toBe(statements.of('errand_past'))
    expect(statements.total()).toBeLessThan(jobs)
  })

  it('500 followers, each of its own job, share reads: less than one statement for each', async () => {
    const { errand, url } = await scene('postgres')
    await using elsewhere = createErrand({ log: url, logger: quietLogger })
    const jobs = 500
    const receipts = await errand.dispatchMany(Array.from({ length: jobs }, () => count.with(undefined)))
    const statements = countStatements()
    const seen = receipts.map(async ({ id }) => {
      const types: string[] = []
      for await (const { type } of errand.events.follow({ job: id })) types.push(type)
      return types
    })
    elsewhere.work({ concurrency: 50, handlers: [handle(count, () => {})] }, { signals: false })
    expect(await Promise.all(seen)).toEqual(receipts.map(() => ['dispatched', 'started', 'succeeded']))
    expect(statements.of('errand_read_job')).toBeGreaterThan(0)
    expect(statements.total()).toBeLessThan(jobs)
  })

  it('200 followers, each of its own tag, read only what has it: fewer than eight statements for each', async () => {
    const { errand, url } = await scene('postgres')
    await using elsewhere = createErrand({ log: url, logger: quietLogger })
    const tags = Array.from({ length: 200 }, (_, n) => `tag ${n}`)
    const statements = countStatements()
    const stop = new AbortController()
    let seen = 0
    const following = tags.map(async (tag) => {
      const types: string[] = []
      for await (const event of errand.events.follow({ tag, after: 'start', signal: stop.signal })) {
        expect(event.tags).toEqual([tag])
        types.push(event.type)
        seen += 1
      }
      return types
    })
    for (const tag of tags) await errand.dispatch(tagged, tag)
    elsewhere.work({ concurrency: 50, handlers: [handle(tagged, () => {})] }, { signals: false })
    await until(() => seen === 3 * tags.length)
    stop.abort()
    expect(await Promise.all(following)).toEqual(tags.map(() => ['dispatched', 'started', 'succeeded']))
    expect(statements.of('errand_read')).toBeLessThan(8 * tags.length)
  })
})
