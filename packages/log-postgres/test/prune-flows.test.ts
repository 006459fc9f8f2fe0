import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { JobLog, NewFlow, NewJob, NewNeed, WorkerRef } from '@errand/core/ports'
import { encoded, newJob, outcomes, settlement, workerRef } from '@errand/testkit'
import { openMigrated, url } from './stage.ts'
import type { Stage } from './stage.ts'

const day = 86_400_000
const queue = 'q'

describe.skipIf(url === undefined)('retention of flows, and of what jobs need', () => {
  let stage: Stage
  let log: JobLog
  let by: WorkerRef
  beforeEach(async () => {
    ;({ stage, log } = await openMigrated())
    by = workerRef({ leaseMs: 1_000 * day })
    await log.beat(by, { queues: [queue], taking: true, progress: [] })
  })
  afterEach(() => stage.close())

  const newFlow = (): NewFlow => ({
    id: randomUUID(),
    allowFailures: 0,
    stopOnFailure: true,
    tags: [],
    meta: {},
  })
  const need = ({ id }: { readonly id: string }, name?: string): NewNeed => ({ on: id, mode: 'ended', name })

  async function finish(job: NewJob): Promise<void> {
    const { logId } = await log.connect()
    const [verdict] = await log.claim(
      [{ id: job.id, queue, lane: 'normal', log: logId }],
      1,
      by,
      randomUUID(),
    )
    if (verdict?.verdict !== 'run') throw new Error(`job ${job.id} is ${verdict?.verdict}`)
    await log.settle([settlement(verdict.claim, outcomes.succeed(encoded(job.id)))], by)
  }

  /** How many jobs have gone. */
  async function prune(limit = 100): Promise<number> {
    let gone = 0
    for (let more = true; more;) {
      const pruned = await log.prune({ succeededMs: day, failedMs: day, limit })
      gone += pruned.jobs
      more = pruned.more
    }
    return gone
  }
  const rows = async (): Promise<Record<string, unknown>> =>
    (
      await stage.sql(
        `select (select count(*)::int from errand.jobs) as jobs, (select count(*)::int from errand.flows) as flows,
                (select count(*)::int from errand.members) as members, (select count(*)::int from errand.needs) as needs,
                (select count(*)::int from errand.kept) as kept, (select count(*)::int from errand.kept_ends) as ends`,
      )
    )[0]!
  const nothing = { jobs: 0, flows: 0, members: 0, needs: 0, kept: 0, ends: 0 }

  it('a job stays as long as an unfinished one needs it, and goes after that, however late', async () => {
    const parent = newJob({ queue })
    const child = newJob({ queue, needs: [need(parent)] })
    await log.append([parent, child])
    await finish(parent)
    await stage.advance(20 * day)
    expect(await prune()).toBe(0)
    expect(await prune()).toBe(0)
    expect(await log.get(parent.id)).toMatchObject({ state: 'succeeded' })
    await finish(child)
    expect(await prune()).toBe(1)
    await stage.advance(2 * day)
    expect(await prune()).toBe(1)
    expect(await rows()).toEqual(nothing)
  })

  it('nothing of a flow goes before it has ended, and then all of it goes', async () => {
    const [outer, inner] = [newFlow(), newFlow()]
    const jobs = Array.from({ length: 5 }, () => newJob({ queue, flow: inner.id }))
    const last = newJob({ queue, flow: outer.id, needs: [need(inner)] })
    await log.append([...jobs, last], { flows: [outer, { ...inner, flow: outer.id }] })
    for (const job of jobs) await finish(job)
    expect(await log.readFlow(inner.id)).toMatchObject({ state: 'succeeded' })
    await stage.advance(20 * day)
    expect(await prune()).toBe(0)
    await finish(last)
    expect(await log.readFlow(outer.id)).toMatchObject({ state: 'succeeded' })
    expect(await prune()).toBe(0)
    await stage.advance(2 * day)
    expect(await prune(2)).toBe(6)
    expect(await rows()).toEqual(nothing)
  })

  it('a flow keeps its results while an unfinished job needs them, also when their days are dropped', async () => {
    const flow = newFlow()
    const jobs = Array.from({ length: 3 }, () => newJob({ queue, flow: flow.id }))
    const callback = newJob({ queue, needs: [need(flow, 'pages')] })
    await log.append([...jobs, callback], { flows: [flow] })
    for (const job of jobs) await finish(job)
    const before = await log.memberEnds(flow.id, { limit: 10 })
    expect(before.ends).toMatchObject(jobs.map(({ id }) => ({ id, body: encoded(id) })))
    await stage.advance(20 * day)
    expect(await prune()).toBe(0)
    expect(await log.readHistory(jobs[0]!.id)).toEqual([])
    expect(await log.memberEnds(flow.id, { limit: 10 })).toEqual(before)
    await finish(callback)
    await stage.advance(2 * day)
    expect(await prune()).toBe(4)
    expect(await rows()).toEqual(nothing)
  })

  it('a member that a table of the application refers to stays, and the rest of its flow goes', async () => {
    const flow = newFlow()
    const jobs = [newJob({ queue, flow: flow.id }), newJob({ queue, flow: flow.id })]
    await log.append(jobs, { flows: [flow] })
    for (const job of jobs) await finish(job)
    await stage.sql('alter table errand.jobs add constraint ids unique (id)')
    await stage.sql('create table errand.mine (job uuid references errand.jobs (id))')
    await stage.sql('insert into errand.mine values ($1)', [jobs[0]!.id])
    await stage.advance(2 * day)
    expect(await prune()).toBe(1)
    expect(await rows()).toMatchObject({ jobs: 1, flows: 0, members: 0 })
    await stage.sql('delete from errand.mine')
    await stage.advance(2 * day)
    expect(await prune()).toBe(1)
    expect(await rows()).toEqual(nothing)
  })
})
