import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { FlowRecord, NewFlow, NewJob } from '@errand/core/ports'
import { outcomes } from '../../fixtures.ts'
import type { JobLogHarness } from '../harness.ts'
import type { Scene } from '../scene.ts'
import { scenes } from '../scenes.ts'
import { becomes, needs } from './needs.ts'

const ada = { by: 'ada' }
const dayMs = 86_400_000

const newFlow = (overrides: Partial<NewFlow> = {}): NewFlow => ({
  id: randomUUID(),
  allowFailures: 0,
  stopOnFailure: true,
  tags: [],
  meta: {},
  ...overrides,
})

/** A flow with its members, and jobs that wait for its end. */
interface Stage {
  readonly flow: NewFlow
  readonly jobs: NewJob[]
  readonly onSuccess: NewJob
  readonly onFailure: NewJob
  readonly onEnd: NewJob
}

async function dispatch(
  on: Scene,
  members: readonly Partial<NewJob>[],
  overrides: Partial<NewFlow> = {},
): Promise<Stage> {
  const flow = newFlow(overrides)
  const jobs = members.map((member) => on.newJob({ flow: flow.id, ...member }))
  const onSuccess = on.newJob({ needs: [needs(flow)] })
  const onFailure = on.newJob({ needs: [needs(flow, 'unsuccessful')] })
  const onEnd = on.newJob({ needs: [needs(flow, 'ended')] })
  const appended = await on.log.append([...jobs, onSuccess, onFailure, onEnd], { flows: [flow] })
  expect(new Set(appended.map(({ status }) => status))).toEqual(new Set(['added']))
  return { flow, jobs, onSuccess, onFailure, onEnd }
}

async function read(on: Scene, { id }: { readonly id: string }): Promise<FlowRecord> {
  const flow = await on.log.readFlow(id)
  if (!flow) throw new Error(`the log has no flow ${id}`)
  return flow
}

/** Waits until the flow has ended, and does meanwhile what was left for later. */
async function ends(on: Scene, flow: { readonly id: string }): Promise<FlowRecord> {
  return on.until(async () => {
    const found = await read(on, flow)
    if (found.state !== 'running') return found
    await on.log.passNotes(500)
    return undefined
  }, 'the flow has ended')
}

export function describeFlows(harness: JobLogHarness): void {
  const { scene, fresh } = scenes(harness)
  const { transactions, advance } = harness.capabilities

  describe('flows', () => {
    it('a flow ends after its last member, and its end lets go one of two callbacks', async () => {
      const on = await scene()
      const worker = await on.worker()
      const { flow, jobs, onSuccess, onFailure, onEnd } = await dispatch(on, [{}, {}], { name: 'album 42' })
      expect(await read(on, flow)).toMatchObject({
        state: 'running',
        name: 'album 42',
        total: 2,
        succeeded: 0,
      })
      await on.finish(worker, jobs[0]!)
      expect(await on.states([onSuccess, onFailure, onEnd])).toEqual(['blocked', 'blocked', 'blocked'])
      await on.finish(worker, jobs[1]!)
      expect(await ends(on, flow)).toMatchObject({ state: 'succeeded', total: 2, succeeded: 2, failed: 0 })
      await becomes(on, onFailure, 'cancelled')
      expect(await on.states([onSuccess, onEnd])).toEqual(['ready', 'ready'])
      expect(await on.story(flow)).toEqual(['flow_dispatched', 'flow_ended'])
      expect(await on.record(jobs[0]!)).toMatchObject({ flow: flow.id })
    })

    it('a failed member fails the flow, and the rest of it is cancelled', async () => {
      const on = await scene()
      const worker = await on.worker()
      const later = { due: { delayMs: 3_600_000 } } as const
      const { flow, jobs, onSuccess, onFailure, onEnd } = await dispatch(on, [{}, later, later])
      await on.settle(worker, await on.claim(worker, jobs[0]!), outcomes.fail())
      expect(await ends(on, flow)).toMatchObject({ state: 'failed', failed: 1, cancelled: 2, forgiven: 2 })
      await becomes(on, onFailure, 'ready')
      await becomes(on, onSuccess, 'cancelled')
      expect(await on.state(onEnd)).toBe('ready')
      expect((await on.lastEvent(jobs[1]!)).data).toMatchObject({ cause: 'flow' })
    })

    it('as many failures as are allowed leave it a success', async () => {
      const on = await scene()
      const worker = await on.worker()
      const { flow, jobs } = await dispatch(on, [{}, {}, {}], { allowFailures: 1 })
      await on.settle(worker, await on.claim(worker, jobs[0]!), outcomes.fail())
      await on.finish(worker, jobs[1]!)
      await on.finish(worker, jobs[2]!)
      expect(await ends(on, flow)).toMatchObject({ state: 'succeeded', succeeded: 2, failed: 1 })
    })

    it('with any number of failures allowed it succeeds, whatever its members do', async () => {
      const on = await scene()
      const { flow, jobs } = await dispatch(on, [{}, {}], { allowFailures: null })
      const worker = await on.worker()
      for (const job of jobs) await on.settle(worker, await on.claim(worker, job), outcomes.fail())
      expect(await ends(on, flow)).toMatchObject({ state: 'succeeded', failed: 2 })
    })

    it('a flow that does not stop runs its other members after a failure, and then fails', async () => {
      const on = await scene()
      const worker = await on.worker()
      const { flow, jobs } = await dispatch(on, [{}, {}], { stopOnFailure: false })
      await on.settle(worker, await on.claim(worker, jobs[0]!), outcomes.fail())
      expect(await read(on, flow)).toMatchObject({ state: 'running', failed: 1 })
      await on.finish(worker, jobs[1]!)
      expect(await ends(on, flow)).toMatchObject({ state: 'failed', succeeded: 1, failed: 1 })
    })

    it('members that need each other go in order, and one that fails cancels those behind it', async () => {
      const on = await scene()
      const worker = await on.worker()
      const flow = newFlow({ stopOnFailure: false })
      const [first, second, third] = [0, 1, 2].map(() => on.newJob({ flow: flow.id }))
      const jobs = [first!, { ...second!, needs: [needs(first!)] }, { ...third!, needs: [needs(second!)] }]
      await on.log.append(jobs, { flows: [flow] })
      await on.settle(worker, await on.claim(worker, first!), outcomes.fail())
      expect(await ends(on, flow)).toMatchObject({ state: 'failed', failed: 1, cancelled: 2, forgiven: 2 })
    })

    it('a member that may fail does not count', async () => {
      const on = await scene()
      const worker = await on.worker()
      const { flow, jobs } = await dispatch(on, [{ mayFail: true }, {}])
      await on.settle(worker, await on.claim(worker, jobs[0]!), outcomes.fail())
      await on.finish(worker, jobs[1]!)
      expect(await ends(on, flow)).toMatchObject({ state: 'succeeded', failed: 1, forgiven: 1 })
    })

    it('a member that is cancelled because of a job outside of the flow counts', async () => {
      const on = await scene()
      const worker = await on.worker()
      const outside = await on.add()
      const { flow, onFailure } = await dispatch(on, [{ needs: [needs(outside)] }])
      await on.settle(worker, await on.claim(worker, outside), outcomes.fail())
      expect(await ends(on, flow)).toMatchObject({ state: 'failed', cancelled: 1, forgiven: 0 })
      await becomes(on, onFailure, 'ready')
    })

    it('an inner flow is one member, and what comes after it waits for all of it', async () => {
      const on = await scene()
      const worker = await on.worker()
      const outer = newFlow({ name: 'outer' })
      const inner = newFlow({ name: 'inner', flow: outer.id })
      const jobs = [0, 1].map(() => on.newJob({ flow: inner.id }))
      const after = on.newJob({ flow: outer.id, needs: [needs(inner)] })
      await on.log.append([...jobs, after], { flows: [outer, inner] })
      expect(await read(on, outer)).toMatchObject({ total: 2 })
      await on.finish(worker, jobs[0]!)
      expect(await on.state(after)).toBe('blocked')
      await on.finish(worker, jobs[1]!)
      await becomes(on, after, 'ready')
      expect(await read(on, inner)).toMatchObject({ state: 'succeeded', flow: outer.id })
      await on.finish(worker, after)
      expect(await ends(on, outer)).toMatchObject({ state: 'succeeded', succeeded: 2 })
      const members = await on.log.flowMembers(outer.id, { limit: 10 })
      expect(members.map(({ id, isFlow, state }) => [id, isFlow, state])).toEqual([
        [inner.id, true, 'succeeded'],
        [after.id, false, 'succeeded'],
      ])
    })

    it('a flow without members has ended as soon as it is there, and its callback is ready', async () => {
      const on = await scene()
      const { flow, onSuccess, onFailure, onEnd } = await dispatch(on, [])
      expect(await read(on, flow)).toMatchObject({ state: 'succeeded', total: 0 })
      expect(await on.states([onSuccess, onFailure, onEnd])).toEqual(['ready', 'cancelled', 'ready'])
      expect(await on.story(flow)).toEqual(['flow_dispatched', 'flow_ended'])
    })

    it('a flow whose only member is an empty one has ended, too', async () => {
      const on = await scene()
      const outer = newFlow()
      const inner = newFlow({ flow: outer.id })
      await on.log.append([], { flows: [outer, inner] })
      expect(await read(on, outer)).toMatchObject({ state: 'succeeded', total: 1, succeeded: 1 })
    })

    it('the same flow again is a duplicate, and nothing doubles', async () => {
      const on = await scene()
      const flow = newFlow()
      const jobs = [on.newJob({ flow: flow.id }), on.newJob({ flow: flow.id })]
      await on.log.append(jobs, { flows: [flow] })
      expect(await on.log.append(jobs, { flows: [flow] })).toEqual(
        jobs.map(({ id }) => ({ id, status: 'duplicate' })),
      )
      expect(await read(on, flow)).toMatchObject({ total: 2 })
    })

    it('a member that is a duplicate of a live job refuses the whole flow, and names that job', async () => {
      const on = await scene()
      const unique = { key: randomUUID(), until: 'finished' } as const
      const holder = await on.add({ unique })
      const flow = newFlow()
      const jobs = [on.newJob({ flow: flow.id }), on.newJob({ flow: flow.id, unique })]
      expect(await on.log.append(jobs, { flows: [flow] })).toEqual([
        { id: jobs[0]!.id, status: 'withheld' },
        { id: holder.id, status: 'duplicate' },
      ])
      expect(await on.log.readFlow(flow.id)).toBeUndefined()
      expect(await on.state(jobs[0]!)).toBeUndefined()
      const free = on.newJob({ unique: { ...unique, key: randomUUID() } })
      expect(await on.log.append([free])).toMatchObject([{ status: 'added' }])
    })

    it('two members with one unique key refuse the flow', async () => {
      const on = await scene()
      const unique = { key: randomUUID(), until: 'finished' } as const
      const flow = newFlow()
      const jobs = [0, 1].map(() => on.newJob({ flow: flow.id, unique }))
      expect(await on.log.append(jobs, { flows: [flow] })).toEqual([
        { id: jobs[0]!.id, status: 'withheld' },
        { id: jobs[0]!.id, status: 'duplicate' },
      ])
      expect(await on.log.append([on.newJob({ unique })])).toMatchObject([{ status: 'added' }])
    })

    it('jobs that are added while it runs count, and it ends after them', async () => {
      const on = await scene()
      const worker = await on.worker()
      const { flow, jobs } = await dispatch(on, [{}])
      const claim = await on.claim(worker, jobs[0]!)
      const more = [0, 1].map(() => on.newJob({ flow: flow.id }))
      expect(await on.log.append(more)).toMatchObject([{ status: 'added' }, { status: 'added' }])
      await on.settle(worker, claim, outcomes.succeed())
      expect(await read(on, flow)).toMatchObject({ state: 'running', total: 3, succeeded: 1 })
      for (const job of more) await on.finish(worker, job)
      expect(await ends(on, flow)).toMatchObject({ state: 'succeeded', total: 3 })
    })

    it('jobs that are added twice count once', async () => {
      const on = await scene()
      const { flow } = await dispatch(on, [{}])
      const more = [0, 1].map(() => on.newJob({ flow: flow.id }))
      await on.log.append(more)
      await on.log.append(more)
      await on.log.passNotes(100)
      expect(await read(on, flow)).toMatchObject({ total: 3 })
    })

    it('nothing can be added to a flow that has ended, is being cancelled, or is not there', async () => {
      const on = await scene()
      const worker = await on.worker()
      const { flow, jobs } = await dispatch(on, [{}])
      await on.finish(worker, jobs[0]!)
      await ends(on, flow)
      const nowhere = randomUUID()
      const cancelled = await dispatch(on, [{}])
      await on.claim(worker, cancelled.jobs[0]!)
      await on.log.cancelFlow(cancelled.flow.id, ada)
      for (const id of [flow.id, nowhere, cancelled.flow.id]) {
        const late = on.newJob({ flow: id })
        expect(await on.log.append([late])).toEqual([{ id: late.id, status: 'flow-ended', flow: id }])
      }
    })

    it('cancelling a flow cancels what waits, and asks what runs', async () => {
      const on = await scene()
      const worker = await on.worker()
      const { flow, jobs, onFailure } = await dispatch(on, [{}, {}, { due: { delayMs: 3_600_000 } }])
      const claim = await on.claim(worker, jobs[0]!)
      const report = await on.log.cancelFlow(flow.id, { by: 'ada', reason: 'not needed' })
      expect(report).toMatchObject({ status: 'cancelling', cancelled: 2, requested: 1, workers: [worker.id] })
      expect(await on.states(jobs)).toEqual(['running', 'cancelled', 'cancelled'])
      expect(await read(on, flow)).toMatchObject({
        state: 'running',
        cancel: { by: 'ada', reason: 'not needed' },
      })
      await on.settle(worker, claim, outcomes.snooze(1_000))
      expect(await ends(on, flow)).toMatchObject({ state: 'cancelled', cancelled: 3 })
      await becomes(on, onFailure, 'ready')
      expect(await on.story(flow)).toEqual(['flow_dispatched', 'flow_cancel_requested', 'flow_ended'])
      expect(await on.log.cancelFlow(flow.id, ada)).toMatchObject({ status: 'ended' })
      expect(await on.log.cancelFlow(randomUUID(), ada)).toMatchObject({ status: 'unknown' })
    })

    it('cancelling a flow cancels the flows in it', async () => {
      const on = await scene()
      const outer = newFlow()
      const inner = newFlow({ flow: outer.id })
      const job = on.newJob({ flow: inner.id })
      await on.log.append([job], { flows: [outer, inner] })
      await on.log.cancelFlow(outer.id, ada)
      expect(await ends(on, outer)).toMatchObject({ state: 'cancelled' })
      expect(await read(on, inner)).toMatchObject({ state: 'cancelled' })
      expect(await on.state(job)).toBe('cancelled')
    })

    it('a flow of 1,300 members is cancelled in passes', async () => {
      const on = await scene()
      const flow = newFlow()
      const jobs = Array.from({ length: 1_300 }, () => on.newJob({ flow: flow.id }))
      await on.log.append(jobs, { flows: [flow] })
      expect(await on.log.cancelFlow(flow.id, ada)).toMatchObject({ cancelled: 500, more: true })
      expect(await ends(on, flow)).toMatchObject({ state: 'cancelled', cancelled: 1_300 })
    })

    it('a replayed flow runs only what had not succeeded, and its callbacks wait again', async () => {
      const on = await scene()
      const worker = await on.worker()
      const { flow, jobs, onSuccess, onFailure } = await dispatch(on, [{}, {}], { stopOnFailure: false })
      await on.finish(worker, jobs[0]!)
      await on.settle(worker, await on.claim(worker, jobs[1]!), outcomes.fail())
      await ends(on, flow)
      await becomes(on, onFailure, 'ready')
      expect(await on.log.replayFlow(flow.id, ada)).toMatchObject({ status: 'callbacks-run' })
      const callbacks = await on.take(worker)
      for (const claim of callbacks) await on.settle(worker, claim, outcomes.succeed())
      expect(await on.log.replayFlow(flow.id, ada)).toMatchObject({ status: 'replayed', replayed: 1 })
      expect(await read(on, flow)).toMatchObject({ state: 'running', succeeded: 1, failed: 0, total: 2 })
      expect(await on.states([...jobs, onSuccess, onFailure])).toEqual([
        'succeeded',
        'ready',
        'blocked',
        'blocked',
      ])
      await on.finish(worker, jobs[1]!)
      expect(await ends(on, flow)).toMatchObject({ state: 'succeeded', succeeded: 2 })
      await becomes(on, onSuccess, 'ready')
      await becomes(on, onFailure, 'cancelled')
      expect(await on.log.replayFlow(randomUUID(), ada)).toMatchObject({ status: 'unknown' })
    })

    it('what needs a member that a replay refuses is refused with it, and the flow ends again', async () => {
      const on = await scene()
      const worker = await on.worker()
      const outside = await on.add()
      const unique = { key: randomUUID(), until: 'finished' } as const
      const flow = newFlow({ stopOnFailure: false })
      const unmet = on.newJob({ flow: flow.id, needs: [needs(outside)] })
      const afterUnmet = on.newJob({ flow: flow.id, needs: [needs(unmet)] })
      const held = on.newJob({ flow: flow.id, unique })
      const afterHeld = on.newJob({ flow: flow.id, needs: [needs(held)] })
      const jobs = [unmet, afterUnmet, held, afterHeld]
      const onEnd = on.newJob({ needs: [needs(flow, 'ended')] })
      await on.log.append([...jobs, onEnd], { flows: [flow] })
      for (const job of [outside, held]) await on.settle(worker, await on.claim(worker, job), outcomes.fail())
      await ends(on, flow)
      await becomes(on, onEnd, 'ready')
      await on.finish(worker, onEnd)
      await on.add({ unique })
      expect(await on.log.replayFlow(flow.id, ada)).toMatchObject({ status: 'replayed', replayed: 0 })
      expect(await ends(on, flow)).toMatchObject({ state: 'failed', failed: 1, cancelled: 3 })
      expect(await on.states(jobs)).toEqual(['cancelled', 'cancelled', 'failed', 'cancelled'])
      await becomes(on, onEnd, 'ready')
    })

    it('callbacks of a flow inside a replayed one wait again, too', async () => {
      const on = await scene()
      const worker = await on.worker()
      const outer = newFlow()
      const inner = newFlow({ flow: outer.id })
      const job = on.newJob({ flow: inner.id })
      const good = on.newJob({ needs: [needs(inner)] })
      const bad = on.newJob({ needs: [needs(inner, 'unsuccessful')] })
      await on.log.append([job, good, bad], { flows: [outer, inner] })
      await on.settle(worker, await on.claim(worker, job), outcomes.fail())
      await ends(on, outer)
      await becomes(on, bad, 'ready')
      const claim = await on.claim(worker, bad)
      expect(await on.log.replayFlow(outer.id, ada)).toMatchObject({ status: 'callbacks-run' })
      await on.settle(worker, claim, outcomes.succeed())
      expect(await on.log.replayFlow(outer.id, ada)).toMatchObject({ status: 'replayed', replayed: 1 })
      expect(await on.states([job, good, bad])).toEqual(['ready', 'blocked', 'blocked'])
      await on.finish(worker, job)
      await becomes(on, good, 'ready')
      await becomes(on, bad, 'cancelled')
      expect(await ends(on, outer)).toMatchObject({ state: 'succeeded' })
    })

    it('a replayed flow in which nothing has failed ends again at once, and its callbacks run again', async () => {
      const on = await scene()
      const worker = await on.worker()
      for (const members of [[], [{}]]) {
        const { flow, jobs, onSuccess, onEnd } = await dispatch(on, members)
        for (const job of jobs) await on.finish(worker, job)
        await ends(on, flow)
        for (const job of [onSuccess, onEnd]) await becomes(on, job, 'ready')
        for (const job of [onSuccess, onEnd]) await on.finish(worker, job)
        expect(await on.log.replayFlow(flow.id, ada)).toMatchObject({ status: 'replayed', replayed: 0 })
        expect(await ends(on, flow)).toMatchObject({ state: 'succeeded', succeeded: members.length })
        for (const job of [onSuccess, onEnd]) await becomes(on, job, 'ready')
      }
    })

    it('a member that is replayed while the flow runs counts once', async () => {
      const on = await scene()
      const worker = await on.worker()
      const { flow, jobs } = await dispatch(on, [{}, {}], { stopOnFailure: false })
      await on.settle(worker, await on.claim(worker, jobs[0]!), outcomes.fail())
      await on.log.passNotes(100)
      await on.log.replay([jobs[0]!.id], ada)
      await on.log.passNotes(100)
      expect(await read(on, flow)).toMatchObject({ state: 'running', failed: 0 })
      for (const job of jobs) await on.finish(worker, job)
      expect(await ends(on, flow)).toMatchObject({ state: 'succeeded', succeeded: 2, failed: 0 })
    })

    it('a member of a flow that has ended is replayed by itself', async () => {
      const on = await scene()
      const worker = await on.worker()
      const { flow, jobs } = await dispatch(on, [{}])
      await on.settle(worker, await on.claim(worker, jobs[0]!), outcomes.fail())
      await ends(on, flow)
      await on.log.replay([jobs[0]!.id], ada)
      await on.finish(worker, jobs[0]!)
      expect(await read(on, flow)).toMatchObject({ state: 'failed', failed: 1, succeeded: 0 })
    })

    it('members and their results are read by pages', async () => {
      const on = await scene()
      const worker = await on.worker()
      const { flow, jobs } = await dispatch(on, [{}, {}, {}], { allowFailures: null })
      const [first, second] = await Promise.all(jobs.slice(0, 2).map((job) => on.claim(worker, job)))
      const result = { codec: 'json', text: '7' }
      await on.settle(worker, first!, { kind: 'succeed', result })
      await on.settle(worker, second!, outcomes.fail())
      const page = await on.log.memberEnds(flow.id, { limit: 2 })
      expect(page.ends.map(({ id, state }) => [id, state])).toEqual([
        [jobs[0]!.id, 'succeeded'],
        [jobs[1]!.id, 'failed'],
      ])
      expect(page.ends[0]?.body).toEqual(result)
      expect(page.next).toBeDefined()
      expect(await on.log.memberEnds(flow.id, { limit: 2, after: page.next })).toEqual({
        ends: [],
        next: undefined,
      })
      const members = await on.log.flowMembers(flow.id, { limit: 2 })
      expect(members.map(({ id }) => id)).toEqual(jobs.slice(0, 2).map(({ id }) => id))
      expect(members.map(({ index }) => index)).toEqual([1, 2])
      const rest = await on.log.flowMembers(flow.id, { limit: 2, after: members.at(-1)?.index })
      expect(rest.map(({ id }) => id)).toEqual([jobs[2]!.id])
    })

    it('flows are listed, the newest first, and by state or name', async () => {
      const on = await fresh()
      const worker = await on.worker()
      const old = await dispatch(on, [{}], { name: 'a' })
      const young = await dispatch(on, [{}], { name: 'b' })
      await on.finish(worker, old.jobs[0]!)
      await ends(on, old.flow)
      const ids = async (filter: Parameters<typeof on.log.listFlows>[0], after?: string) =>
        (await on.log.listFlows(filter, { limit: 10, after })).map(({ id }) => id)
      expect(await ids({})).toEqual([young.flow.id, old.flow.id])
      expect(await ids({}, young.flow.id)).toEqual([old.flow.id])
      expect(await ids({ state: 'running' })).toEqual([young.flow.id])
      expect(await ids({ name: 'a' })).toEqual([old.flow.id])
    })

    it.runIf(advance)(
      'nothing of a flow is pruned before it has ended, and all of it afterwards',
      async () => {
        const on = await fresh()
        const worker = await on.worker()
        const { flow, jobs } = await dispatch(on, [{}, {}])
        await on.finish(worker, jobs[0]!)
        await on.jump(40 * dayMs)
        const keep = { succeededMs: 30 * dayMs, failedMs: 30 * dayMs, limit: 100 }
        expect(await on.log.prune(keep)).toMatchObject({ jobs: 0 })
        await on.beat(worker)
        await on.finish(worker, jobs[1]!)
        await ends(on, flow)
        const callbacks = await on.take(worker)
        for (const claim of callbacks) await on.settle(worker, claim, outcomes.succeed())
        await on.jump(40 * dayMs)
        await on.log.prune(keep)
        expect(await on.log.readFlow(flow.id)).toBeUndefined()
        expect(await on.states(jobs)).toEqual([undefined, undefined])
      },
    )
  })

  describe.runIf(transactions !== 'none')('flows inside a transaction', () => {
    it('a flow in a transaction that rolls back never was', async () => {
      const on = await scene()
      const flow = newFlow()
      const job = on.newJob({ flow: flow.id })
      const { tx, rollback } = await on.begin()
      await on.log.append([job], { flows: [flow], tx })
      await rollback()
      expect(await on.log.readFlow(flow.id)).toBeUndefined()
      expect(await on.state(job)).toBeUndefined()
    })

    it('a refused flow leaves the transaction usable', async () => {
      const on = await scene()
      const unique = { key: randomUUID(), until: 'finished' } as const
      await on.add({ unique })
      const flow = newFlow()
      const { tx, commit } = await on.begin()
      const refused = await on.log.append([on.newJob({ flow: flow.id, unique })], { flows: [flow], tx })
      expect(refused).toMatchObject([{ status: 'duplicate' }])
      const job = on.newJob()
      await on.log.append([job], { tx })
      await commit()
      expect(await on.state(job)).toBe('ready')
      expect(await on.log.readFlow(flow.id)).toBeUndefined()
    })

    it('members that are added keep the flow from ending until their transaction has committed', async () => {
      const on = await scene()
      const worker = await on.worker()
      const { flow, jobs } = await dispatch(on, [{}])
      const claim = await on.claim(worker, jobs[0]!)
      const { tx, commit } = await on.begin()
      const more = on.newJob({ flow: flow.id })
      expect(await on.log.append([more], { tx })).toMatchObject([{ status: 'added' }])
      if (transactions === 'row-locks') {
        await on.settle(worker, claim, outcomes.succeed())
        await on.log.passNotes(100)
        expect(await read(on, flow)).toMatchObject({ state: 'running' })
      }
      await commit()
      if (transactions !== 'row-locks') await on.settle(worker, claim, outcomes.succeed())
      await on.log.passNotes(100)
      expect(await read(on, flow)).toMatchObject({ state: 'running' })
      await on.finish(worker, more)
      expect(await ends(on, flow)).toMatchObject({ state: 'succeeded', total: 2, succeeded: 2 })
    })
  })
}
