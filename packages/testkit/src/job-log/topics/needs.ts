import { describe, expect, it } from 'vitest'
import { randomUUID } from 'node:crypto'
import type { NewJob, NewNeed, StoredState } from '@errand/core/ports'
import { outcomes, recorded, settlement } from '../../fixtures.ts'
import type { JobLogHarness } from '../harness.ts'
import type { Scene } from '../scene.ts'
import { scenes } from '../scenes.ts'

const ada = { by: 'ada' }
const ordering = { key: 'k', onFailure: 'block' } as const

export const needs = (on: { readonly id: string }, mode: NewNeed['mode'] = 'succeeded'): NewNeed => ({
  on: on.id,
  mode,
})

/** Waits until a job has this state, and does meanwhile what was left for later. */
export async function becomes(on: Scene, job: { readonly id: string }, state: StoredState): Promise<void> {
  await on.until(async () => {
    if ((await on.state(job)) === state) return true
    await on.log.passNotes(500)
    return false
  }, `the job is ${state}`)
}

export function describeNeeds(harness: JobLogHarness): void {
  const { scene } = scenes(harness)
  const { transactions } = harness.capabilities

  const fail = (on: Scene, overrides: Partial<NewJob> = {}): Promise<NewJob> =>
    on.ended(outcomes.fail(), overrides)

  describe('needs', () => {
    it('a job that needs two others starts after the second, whichever that is', async () => {
      const on = await scene()
      const worker = await on.worker()
      for (const last of [0, 1]) {
        const parents = await on.addAll([{}, {}])
        const child = await on.add({ needs: parents.map((parent) => needs(parent)) })
        expect(await on.record(child)).toMatchObject({ state: 'blocked', waitsForNeeds: true })
        await on.finish(worker, parents[1 - last]!)
        expect(await on.verdict(worker, child)).toBe('blocked')
        const { tickets } = await on.finish(worker, parents[last]!)
        expect(tickets).toEqual([on.ticket(child)])
        expect(await on.record(child)).toMatchObject({ state: 'ready', waitsForNeeds: false })
        expect(await on.story(child)).toEqual(['dispatched', 'unblocked'])
        expect((await on.events(child))[0]?.data.needs).toEqual(parents.map(({ id }) => id))
        await on.finish(worker, child)
      }
    })

    it('two needed jobs that end in one moment wake their dependant once', async () => {
      const on = await scene()
      const worker = await on.worker()
      const parents = await on.addAll([{}, {}])
      const child = await on.add({ needs: parents.map((parent) => needs(parent)) })
      const claims = await on.take(worker)
      expect(claims).toHaveLength(2)
      const settled = recorded(
        await on.log.settle(
          claims.map((claim) => settlement(claim, outcomes.succeed())),
          worker,
        ),
      )
      expect(settled.flatMap(({ tickets }) => tickets)).toEqual([on.ticket(child)])
      expect(await on.story(child)).toEqual(['dispatched', 'unblocked'])
    })

    it('jobs of one call may need each other, and go one after another', async () => {
      const on = await scene()
      const worker = await on.worker()
      const jobs = [on.newJob(), on.newJob(), on.newJob()]
      const chain = jobs.map((job, at) => (at === 0 ? job : { ...job, needs: [needs(jobs[at - 1]!)] }))
      const appended = await on.log.append(chain, { atomic: true })
      expect(appended.map((answer) => answer.status === 'added' && answer.state)).toEqual([
        'ready',
        'blocked',
        'blocked',
      ])
      for (const job of jobs) await on.finish(worker, job)
      expect(await on.states(jobs)).toEqual(['succeeded', 'succeeded', 'succeeded'])
    })

    it('a need on a job that has ended is met at once', async () => {
      const on = await scene()
      const parent = await on.ended(outcomes.succeed())
      const child = await on.add({ needs: [needs(parent)] })
      expect(await on.state(child)).toBe('ready')
      expect(await on.log.needs(child.id)).toMatchObject([
        { on: parent.id, state: 'succeeded', isFlow: false },
      ])
    })

    it('a need on a job that ends while its dependant is being stored is met', async () => {
      const on = await scene()
      const worker = await on.worker()
      for (let turn = 0; turn < 10; turn += 1) {
        const { job: parent, claim } = await on.start({}, worker)
        const child = on.newJob({ needs: [needs(parent)] })
        await Promise.all([on.log.append([child]), on.settle(worker, claim, outcomes.succeed())])
        await becomes(on, child, 'ready')
        await on.finish(worker, child)
      }
    })

    it('a dependant of a failed job is cancelled, and so are its own', async () => {
      const on = await scene()
      const { job: parent, worker, claim } = await on.start()
      const other = await on.add()
      const child = await on.add({ needs: [needs(other), needs(parent)] })
      const grandchild = await on.add({ needs: [needs(child)] })
      await on.settle(worker, claim, outcomes.fail())
      await becomes(on, grandchild, 'cancelled')
      expect(await on.states([parent, child, grandchild, other])).toEqual([
        'failed',
        'cancelled',
        'cancelled',
        'ready',
      ])
      expect((await on.lastEvent(child)).data).toMatchObject({ cause: 'need', needs: [parent.id] })
      expect((await on.lastEvent(grandchild)).data).toMatchObject({ cause: 'need', needs: [child.id] })
    })

    it('a job is cancelled at once that needs one which has failed before', async () => {
      const on = await scene()
      const parent = await fail(on)
      const child = on.newJob({ needs: [needs(parent)] })
      const [answer] = await on.log.append([child])
      expect(answer).toMatchObject({ status: 'added', state: 'cancelled' })
      expect(await on.story(child)).toEqual(['dispatched', 'cancelled'])
    })

    it('where its end is enough, a failed job lets its dependant go, which is told how it ended', async () => {
      const on = await scene()
      const parent = await on.add()
      const child = await on.add({ needs: [{ ...needs(parent, 'ended'), name: 'audit' }] })
      const worker = await on.worker()
      const claim = await on.claim(worker, parent)
      const { tickets } = await on.settle(worker, claim, outcomes.fail())
      expect(tickets).toEqual([on.ticket(child)])
      const [need] = await on.log.needs(child.id)
      expect(need).toMatchObject({ name: 'audit', state: 'failed' })
      expect(need?.body).toEqual((await on.record(parent)).error)
    })

    it('a job that needs another not to succeed runs if it fails, and is cancelled if it succeeds', async () => {
      const on = await scene()
      const worker = await on.worker()
      const parents = await on.addAll([{}, {}])
      const children = await on.addAll(parents.map((parent) => ({ needs: [needs(parent, 'unsuccessful')] })))
      await on.settle(worker, await on.claim(worker, parents[0]!), outcomes.fail())
      await on.finish(worker, parents[1]!)
      expect(await on.states(children)).toEqual(['ready', 'cancelled'])
    })

    it('the result of a needed job is kept for the one that asks for it by a name', async () => {
      const on = await scene()
      const { job: parent, worker, claim } = await on.start()
      const result = { codec: 'json', text: '{"cents":7}' }
      const child = await on.add({ needs: [{ ...needs(parent), name: 'sales' }, needs(parent, 'ended')] })
      await on.settle(worker, claim, { kind: 'succeed', result })
      expect(await on.log.needs(child.id)).toMatchObject([
        { name: 'sales', state: 'succeeded', body: result },
        { name: undefined, state: 'succeeded', body: undefined },
      ])
      expect(await on.log.neededBy(parent.id, 10)).toEqual([child.id])
    })

    it('a delayed job with needs waits for both, in any order', async () => {
      const on = await scene()
      const worker = await on.worker()
      const due = { delayMs: 60 } as const
      const [early, late] = await on.addAll([{}, {}])
      const first = await on.add({ needs: [needs(early!)], due })
      const second = await on.add({ needs: [needs(late!)], due })
      await on.finish(worker, early!)
      expect(await on.states([first, second])).toEqual(['scheduled', 'scheduled'])
      await on.sweepUntil(async () => (await on.state(first)) === 'ready')
      await on.sweepUntil(async () => (await on.state(second)) === 'blocked')
      await on.finish(worker, late!)
      expect(await on.state(second)).toBe('ready')
    })

    it('a delayed job is cancelled at once if what it needs fails', async () => {
      const on = await scene()
      const { job: parent, worker, claim } = await on.start()
      const child = await on.add({ needs: [needs(parent)], due: { delayMs: 3_600_000 } })
      await on.settle(worker, claim, outcomes.fail())
      expect(await on.state(child)).toBe('cancelled')
    })

    it('a job that waits for its needs keeps its turn in its ordering key', async () => {
      const on = await scene()
      const worker = await on.worker()
      const parent = await on.add()
      const first = await on.add({ ordering, needs: [needs(parent)] })
      const second = await on.add({ ordering })
      expect(await on.states([first, second])).toEqual(['blocked', 'blocked'])
      await on.finish(worker, parent)
      expect(await on.states([first, second])).toEqual(['ready', 'blocked'])
      await on.finish(worker, first)
      expect(await on.state(second)).toBe('ready')
    })

    it('a key that comes to a job with open needs stays with it until they are met', async () => {
      const on = await scene()
      const worker = await on.worker()
      const holder = await on.add({ ordering })
      const parent = await on.add()
      const heir = await on.add({ ordering, needs: [needs(parent)] })
      await on.finish(worker, holder)
      expect(await on.state(heir)).toBe('blocked')
      await on.finish(worker, parent)
      await becomes(on, heir, 'ready')
      expect(await on.story(heir)).toEqual(['dispatched', 'unblocked'])
    })

    it('needs that are met do not pass a job by the holder of its key', async () => {
      const on = await scene()
      const worker = await on.worker()
      const holder = await on.add({ ordering })
      const parent = await on.add()
      const heir = await on.add({ ordering, needs: [needs(parent)] })
      await on.finish(worker, parent)
      expect(await on.record(heir)).toMatchObject({ state: 'blocked', waitsForNeeds: false })
      await on.finish(worker, holder)
      await becomes(on, heir, 'ready')
    })

    it('a need on an unknown job stores nothing, and says which', async () => {
      const on = await scene()
      const nowhere = randomUUID()
      const jobs = [on.newJob(), on.newJob({ needs: [needs({ id: nowhere })] })]
      expect(await on.log.append(jobs, { atomic: true })).toEqual([
        { id: jobs[0]!.id, status: 'withheld' },
        { id: jobs[1]!.id, status: 'unknown-need', need: nowhere },
      ])
      expect(await on.states(jobs)).toEqual([undefined, undefined])
    })

    it('the same call again answers duplicates, and needs do not double', async () => {
      const on = await scene()
      const worker = await on.worker()
      const parent = await on.add()
      const child = await on.add({ needs: [needs(parent)] })
      expect(await on.log.append([child])).toEqual([{ id: child.id, status: 'duplicate' }])
      expect(await on.log.needs(child.id)).toHaveLength(1)
      await on.finish(worker, parent)
      expect(await on.state(child)).toBe('ready')
    })

    it('a cancelled job lets go those that wait for its end, and cancels those that need its success', async () => {
      const on = await scene()
      const parent = await on.add({ due: { delayMs: 3_600_000 } })
      const child = await on.add({ needs: [needs(parent)] })
      const other = await on.add({ needs: [needs(parent, 'ended')] })
      const { tickets } = await on.log.cancel([parent.id], ada)
      expect(tickets).toEqual([on.ticket(other)])
      await becomes(on, child, 'cancelled')
    })

    it('the last run of a needed job is lost: the job fails, and its dependant is cancelled', async () => {
      const on = await scene()
      const parent = await on.add({ maxCrashes: 1 })
      const child = await on.add({ needs: [needs(parent)] })
      await on.lose(parent)
      await becomes(on, child, 'cancelled')
    })

    it('one job with 1,200 dependants lets all of them go', async () => {
      const on = await scene()
      const worker = await on.worker()
      const parent = await on.add()
      const children = Array.from({ length: 1_200 }, () => on.newJob({ needs: [needs(parent)] }))
      await on.log.append(children)
      const { pending } = await on.finish(worker, parent)
      expect(pending).toBe(true)
      await on.until(async () => {
        await on.log.passNotes(500)
        const counts = (await on.log.queues()).find(({ name }) => name === on.queue)
        return counts?.blocked === 0
      }, 'none of them waits')
      expect(await on.state(children.at(-1)!)).toBe('ready')
    })

    it('a replayed job whose need has failed is refused, and goes with it if both are replayed', async () => {
      const on = await scene()
      const worker = await on.worker()
      const parent = await on.add()
      const child = await on.add({ needs: [needs(parent)] })
      await on.settle(worker, await on.claim(worker, parent), outcomes.fail())
      expect(await on.log.replay([child.id], ada)).toMatchObject({ replayed: 0, unmet: [child.id] })
      expect(await on.log.replay([child.id, parent.id], ada)).toMatchObject({ replayed: 2, unmet: [] })
      expect(await on.states([parent, child])).toEqual(['ready', 'blocked'])
      await on.finish(worker, parent)
      await becomes(on, child, 'ready')
    })

    it('a replayed job goes before a newer holder that waits for its needs', async () => {
      const on = await scene()
      const worker = await on.worker()
      const old = await on.ended(outcomes.fail(), { ordering: { key: 'k', onFailure: 'skip' } }, worker)
      const parent = await on.add()
      const holder = await on.add({ ordering, needs: [needs(parent)] })
      const { tickets } = await on.log.replay([old.id], ada)
      expect(tickets).toEqual([on.ticket(old)])
      expect(await on.states([old, holder])).toEqual(['ready', 'blocked'])
      await on.finish(worker, parent)
      expect(await on.state(holder)).toBe('blocked')
      await on.finish(worker, old)
      await becomes(on, holder, 'ready')
    })

    it('a limit lets a job with needs wait without a place until they are met', async () => {
      const on = await scene()
      const worker = await on.worker()
      const name = `limit-${randomUUID()}`
      await on.log.saveLimits([{ name, after: 0, to: { values: { total: 1 }, body: '{}' } }])
      const limit = { name, key: '' }
      const parent = await on.add()
      const child = await on.add({ limit, needs: [needs(parent)] })
      const other = await on.add({ limit })
      expect(await on.states([child, other])).toEqual(['blocked', 'ready'])
      await on.finish(worker, parent)
      await on.log.passNotes(100)
      expect(await on.record(child)).toMatchObject({ state: 'blocked', limit: { waits: true } })
      await on.finish(worker, other)
      await becomes(on, child, 'ready')
    })
  })

  describe.runIf(transactions !== 'none')('needs inside a transaction', () => {
    it('a job that is dispatched in a transaction waits for what ended meanwhile, and goes after the commit', async () => {
      const on = await scene()
      const worker = await on.worker()
      const { job: parent, claim } = await on.start({}, worker)
      const child = on.newJob({ needs: [needs(parent)] })
      const { tx, commit } = await on.begin()
      await on.log.append([child], { tx })
      if (transactions === 'row-locks') await on.settle(worker, claim, outcomes.succeed())
      await commit()
      if (transactions !== 'row-locks') await on.settle(worker, claim, outcomes.succeed())
      await becomes(on, child, 'ready')
      expect(await on.story(child)).toEqual(['dispatched', 'unblocked'])
    })

    it('a job that is completed in a transaction lets its dependants go once that has committed', async () => {
      const on = await scene()
      const { job: parent, worker, claim } = await on.start()
      const child = await on.add({ needs: [needs(parent)] })
      const { tx, commit } = await on.begin()
      await on.log.complete(claim, undefined, worker, tx)
      await commit()
      await becomes(on, child, 'ready')
    })

    it('a completion that rolls back lets nobody go', async () => {
      const on = await scene()
      const { job: parent, worker, claim } = await on.start()
      const child = await on.add({ needs: [needs(parent)] })
      const { tx, rollback } = await on.begin()
      await on.log.complete(claim, undefined, worker, tx)
      await rollback()
      await on.log.passNotes(100)
      expect(await on.state(child)).toBe('blocked')
    })

    it('an unknown need leaves the transaction usable', async () => {
      const on = await scene()
      const { tx, commit } = await on.begin()
      const [answer] = await on.log.append([on.newJob({ needs: [needs({ id: randomUUID() })] })], { tx })
      expect(answer?.status).toBe('unknown-need')
      const job = on.newJob()
      await on.log.append([job], { tx })
      await commit()
      expect(await on.state(job)).toBe('ready')
    })
  })
}
