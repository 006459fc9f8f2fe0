import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { ScheduleState, Transaction } from '@errand/core/ports'
import { encoded, outcomes } from '../../fixtures.ts'
import type { JobLogHarness } from '../harness.ts'
import { scenes } from '../scenes.ts'

const ordering = { key: 'account-7', onFailure: 'block' } as const
const schedule: ScheduleState = {
  dueAt: 1_900_000_000_000,
  job: 'close-day',
  isDeclared: false,
  declaredBy: undefined,
  body: '{"text":"it\'s a \\"body\\" ä€"}',
}
const newName = (): string => `schedule-${randomBytes(5).toString('hex')}`

export function describeTransactions(harness: JobLogHarness): void {
  const { scene } = scenes(harness)
  const { transactions } = harness.capabilities

  /** A transaction of the application. It is ended after the test, whatever the test does. */
  describe.runIf(transactions !== 'none')("the application's own transactions", () => {
    it('a job that is dispatched inside a transaction exists once it has committed, not before', async () => {
      const on = await scene()
      const { tx, commit } = await on.begin()
      const job = on.newJob({ publishGraceMs: 0 })
      const [answer] = await on.log.append([job], { tx })
      expect(answer).toMatchObject({ id: job.id, status: 'added' })
      expect(await on.log.get(job.id)).toBeUndefined()
      await commit()
      expect(await on.state(job)).toBe('ready')
      const { tickets } = await on.sweepUntil(async () => true, { republish: true })
      expect(tickets).toEqual([on.ticket(job)])
    })

    it('a payload that is replaced inside a transaction counts once it has committed', async () => {
      const on = await scene()
      const job = await on.add({ due: { delayMs: 3_600_000 } })
      const newer = { codec: 'json', text: '{"text":"newer"}' }
      const times = { waitMs: 7_200_000, atMostMs: 7_200_000 }
      const { tx, rollback } = await on.begin()
      expect(await on.log.debounce(job.id, newer, times, tx)).toMatchObject({ status: 'replaced' })
      await rollback()
      expect((await on.record(job)).payload).toEqual(job.payload)
      const second = await on.begin()
      await on.log.debounce(job.id, newer, times, second.tx)
      expect((await on.record(job)).payload).toEqual(job.payload)
      await second.commit()
      expect((await on.record(job)).payload).toEqual(newer)
    })

    it('a job that is dispatched inside a transaction that rolls back never was', async () => {
      const on = await scene()
      const { tx, rollback } = await on.begin()
      const job = on.newJob({ ordering, unique: { key: 'u', until: 'finished' } })
      await on.log.append([job], { tx })
      await rollback()
      expect(await on.log.get(job.id)).toBeUndefined()
      expect(await on.events(job)).toEqual([])
      // Its keys are free: no holder is left.
      const next = await on.add({ ordering, unique: { key: 'u', until: 'finished' } })
      expect(await on.state(next)).toBe('ready')
    })

    it('several dispatches of one transaction commit together, in their order', async () => {
      const on = await scene()
      const { tx, commit } = await on.begin()
      const jobs = [on.newJob({ ordering }), on.newJob({ ordering }), on.newJob()]
      await on.log.append([jobs[0]!], { tx })
      await on.log.append([jobs[1]!, jobs[2]!], { tx })
      await commit()
      expect(await on.states(jobs)).toEqual(['ready', 'blocked', 'ready'])
    })

    it('a duplicate inside a transaction is told as one, and the transaction goes on', async () => {
      const on = await scene()
      const unique = { key: 'u', until: 'finished' } as const
      const held = await on.add({ unique })
      const { tx, commit } = await on.begin()
      const added = on.newJob()
      const answers = await on.log.append([on.newJob({ unique }), { ...held }, added], { tx })
      expect(answers.map(({ id, status }) => [id, status])).toEqual([
        [held.id, 'duplicate'],
        [held.id, 'duplicate'],
        [added.id, 'added'],
      ])
      await commit()
      expect(await on.state(added)).toBe('ready')
    })

    it('a batch inside a transaction that holds a job which cannot be stored throws, so that it rolls back', async () => {
      const on = await scene()
      const { tx, rollback } = await on.begin()
      const jobs = [on.newJob(), on.newJob({ payload: { codec: 'raw', text: 'a\0b' } })]
      const stored = await on.log.append(jobs, { tx }).then(
        () => true,
        (error: unknown) => {
          expect(error).toMatchObject({ code: 'E_BATCH_REFUSED' })
          return false
        },
      )
      await rollback()
      expect(typeof stored).toBe('boolean')
      expect(await on.states(jobs)).toEqual([undefined, undefined])
    })

    it('a handler’s own transaction completes its job: both commit together', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      const { tx, commit } = await on.begin()
      await on.log.complete(claim, encoded('paid'), worker, tx)
      expect(await on.state(job)).toBe('running')
      await commit()
      expect(await on.record(job)).toMatchObject({ state: 'succeeded', result: encoded('paid') })
      expect(await on.settle(worker, claim, outcomes.completed())).toMatchObject({
        result: 'settled',
        event: 'succeeded',
        state: 'succeeded',
      })
      expect(await on.story(job)).toEqual(['dispatched', 'started', 'succeeded'])
    })

    it('a completion that was rolled back is never settled as a success', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      const { tx, rollback } = await on.begin()
      await on.log.complete(claim, encoded('paid'), worker, tx)
      await rollback()
      expect(await on.settle(worker, claim, outcomes.completed(0))).toMatchObject({
        result: 'settled',
        event: 'errored',
        state: 'scheduled',
      })
      expect((await on.record(job)).result).toBeUndefined()
      expect(await on.story(job)).toEqual(['dispatched', 'started', 'errored'])
    })

    it('whose fate is not yet known when the handler has ended, it is waited for: succeeded, if it commits', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      const { tx, commit } = await on.begin()
      await on.log.complete(claim, undefined, worker, tx)
      const settling = on.settle(worker, claim, outcomes.completed())
      await commit()
      expect(await settling).toMatchObject({ result: 'settled', event: 'succeeded' })
      expect(await on.story(job)).toEqual(['dispatched', 'started', 'succeeded'])
    })

    it('a completion by a worker that has lost its claim throws, so that the handler’s writes roll back', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      await on.vanish(worker)
      await on.sweepUntil(async () => (await on.state(job)) === 'ready')
      const { tx, rollback } = await on.begin()
      await expect(on.log.complete(claim, undefined, worker, tx)).rejects.toMatchObject({
        code: 'E_CLAIM_LOST',
      })
      await rollback()
      expect(await on.state(job)).toBe('ready')
    })

    it('a completion of a run that was settled, of another worker, or of an unknown job throws', async () => {
      const on = await scene()
      const { worker, claim } = await on.start()
      const stranger = await on.worker()
      await on.settle(worker, claim, outcomes.succeed())
      const running = await on.start()
      const attempts = [
        [claim, worker],
        [running.claim, stranger],
        [{ id: crypto.randomUUID(), run: 1 }, worker],
      ] as const
      for (const [fence, by] of attempts) {
        const { tx, rollback } = await on.begin()
        await expect(on.log.complete(fence, undefined, by, tx)).rejects.toMatchObject({
          code: 'E_CLAIM_LOST',
        })
        await rollback()
      }
    })

    it('a completion passes its ordering key on, with the commit, and the settlement lists the ticket', async () => {
      const on = await scene()
      const { worker, claim } = await on.start({ ordering })
      const next = await on.add({ ordering })
      const { tx, commit } = await on.begin()
      await on.log.complete(claim, undefined, worker, tx)
      await commit()
      await on.sweepUntil(async () => (await on.state(next)) === 'ready')
      const settled = await on.settle(worker, claim, outcomes.completed())
      expect(settled.tickets).toEqual([on.ticket(next)])
    })

    it('a completion that rolls back keeps its key', async () => {
      const on = await scene()
      const { worker, claim } = await on.start({ ordering })
      const next = await on.add({ ordering })
      const { tx, rollback } = await on.begin()
      await on.log.complete(claim, undefined, worker, tx)
      await rollback()
      await on.sweep()
      expect(await on.state(next)).toBe('blocked')
      await on.settle(worker, claim, outcomes.succeed())
      expect(await on.state(next)).toBe('ready')
    })

    it('a handler may dispatch and complete in one transaction', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      const { tx, commit } = await on.begin()
      const child = on.newJob({ parentId: job.id })
      await on.log.append([child], { tx })
      await on.log.complete(claim, undefined, worker, tx)
      await commit()
      expect(await on.states([job, child])).toEqual(['succeeded', 'ready'])
    })

    it('a follower misses nothing that a long transaction commits late, and sees it once', async () => {
      const on = await scene()
      const from = await on.log.end()
      const { tx, commit } = await on.begin()
      const late = on.newJob()
      await on.log.append([late], { tx })
      // On a log with one writer nobody else can write during a transaction. There the commit comes first.
      if (transactions === 'one-writer') await commit()
      const early = await on.add()
      const seen: string[] = []
      let cursor = from
      const read = async () => {
        const { events, next } = await on.log.read({ after: cursor, queue: on.queue, limit: 10 })
        seen.push(...events.map(({ jobId }) => jobId))
        cursor = next
      }
      await read()
      await read()
      await commit()
      await on.until(async () => {
        await read()
        return seen.length >= 2
      }, 'both events are seen')
      await read()
      expect(seen.toSorted()).toEqual([late.id, early.id].toSorted())
    })

    it('a schedule that is set inside a transaction is there once it has committed, with its job', async () => {
      const on = await scene()
      const name = newName()
      const read = async (tx?: Transaction) => (await on.log.readSchedules([name], tx)).schedules[0]
      const { tx, commit } = await on.begin()
      expect(await read(tx)).toBeUndefined()
      expect(await on.log.saveSchedules([{ name, after: 0, to: schedule }], tx)).toEqual([{ saved: true }])
      const made = await read(tx)
      expect(made).toEqual({ ...schedule, name, revision: made?.revision, declarerLives: false })
      const job = on.newJob()
      const newer = { ...schedule, dueAt: undefined, isDeclared: true }
      const change = { name, after: made?.revision ?? 0, to: newer, job }
      expect(await on.log.saveSchedules([change], tx)).toMatchObject([
        { saved: true, appended: { id: job.id, status: 'added' } },
      ])
      expect(await on.log.saveSchedules([change], tx)).toEqual([{ saved: false }])
      expect(await read()).toBeUndefined()
      await commit()
      expect(await read()).toMatchObject({ ...newer, revision: change.after + 1 })
      expect(await on.state(job)).toBe('ready')
    })

    it('a change of a schedule inside a transaction that rolls back never was', async () => {
      const on = await scene()
      const [changed, made] = [newName(), newName()]
      await on.log.saveSchedules([{ name: changed, after: 0, to: schedule }])
      const { schedules: before } = await on.log.readSchedules([changed, made])
      const { tx, rollback } = await on.begin()
      const saved = await on.log.saveSchedules(
        [
          { name: changed, after: before[0]?.revision ?? 0, to: undefined },
          { name: made, after: 0, to: schedule },
        ],
        tx,
      )
      expect(saved).toEqual([{ saved: true }, { saved: true }])
      await rollback()
      expect((await on.log.readSchedules([changed, made])).schedules).toEqual(before)
    })

    it('what is no transaction is refused', async () => {
      const on = await scene()
      for (const each of [{}, 7, 'tx', { query: 'no function' }]) {
        const tx = each as Transaction
        const refused = { code: 'E_TRANSACTION' }
        await expect(on.log.append([on.newJob()], { tx })).rejects.toMatchObject(refused)
        await expect(on.log.readSchedules([newName()], tx)).rejects.toMatchObject(refused)
        const change = { name: newName(), after: 0, to: schedule }
        await expect(on.log.saveSchedules([change], tx)).rejects.toMatchObject(refused)
      }
    })
  })

  describe.runIf(transactions === 'row-locks')('rows that an open transaction has locked', () => {
    it('a job whose completion is not committed yet is to be asked for again, not refused', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      const { tx, rollback } = await on.begin()
      await on.log.complete(claim, undefined, worker, tx)
      const answer = await on.verdict(await on.worker(), job)
      expect(['again', 'busy']).toContain(answer)
      await rollback()
    })

    it('a settlement does not wait for a dispatcher’s open transaction: its key is passed on a little later', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start({ ordering })
      const { tx, commit } = await on.begin()
      const next = on.newJob({ ordering })
      await on.log.append([next], { tx })
      const settled = await on.settle(worker, claim, outcomes.succeed())
      expect(settled).toMatchObject({ result: 'settled', state: 'succeeded', pending: true, tickets: [] })
      await commit()
      const tickets = await on.until(async () => {
        const passed = await on.log.passNotes(10)
        return passed.length > 0 && passed
      }, 'the key is passed on')
      expect(tickets).toEqual([on.ticket(next)])
      expect(await on.states([job, next])).toEqual(['succeeded', 'ready'])
    })

    it('a key that was left pending and forgotten is passed on by the sweep', async () => {
      const on = await scene()
      const { worker, claim } = await on.start({ ordering })
      const { tx, commit } = await on.begin()
      const next = on.newJob({ ordering })
      await on.log.append([next], { tx })
      expect(await on.settle(worker, claim, outcomes.succeed())).toMatchObject({ pending: true })
      await commit()
      const { tickets } = await on.sweepUntil(async () => (await on.state(next)) === 'ready')
      expect(tickets).toEqual([on.ticket(next)])
    })

    it('a schedule that an open transaction has changed or made holds up no others: it is passed over', async () => {
      const on = await scene()
      const [changed, made, other] = [newName(), newName(), newName()]
      await on.log.saveSchedules([{ name: changed, after: 0, to: schedule }])
      const revision = async (name: string) =>
        (await on.log.readSchedules([name])).schedules[0]?.revision ?? 0
      const after = await revision(changed)
      const { tx, commit } = await on.begin()
      await on.log.saveSchedules(
        [
          { name: changed, after, to: schedule },
          { name: made, after: 0, to: schedule },
        ],
        tx,
      )
      const jobs = [on.newJob(), on.newJob(), on.newJob()]
      const save = () =>
        on.log.saveSchedules([
          { name: changed, after, to: schedule, job: jobs[0] },
          { name: made, after: 0, to: schedule, job: jobs[1] },
          { name: other, after: 0, to: schedule, job: jobs[2] },
        ])
      expect((await save()).map(({ saved }) => saved)).toEqual([false, false, true])
      expect(await on.states(jobs)).toEqual([undefined, undefined, 'ready'])
      await commit()
      expect(await revision(changed)).toBe(after + 1)
    })

    it('a change inside a transaction that comes second is told so, and may read the schedule again', async () => {
      const on = await scene()
      const name = newName()
      await on.log.saveSchedules([{ name, after: 0, to: schedule }])
      const { tx, commit } = await on.begin()
      const after = (await on.log.readSchedules([name], tx)).schedules[0]?.revision ?? 0
      await on.log.saveSchedules([{ name, after, to: schedule }])
      expect(await on.log.saveSchedules([{ name, after, to: undefined }], tx)).toEqual([{ saved: false }])
      const again = (await on.log.readSchedules([name], tx)).schedules[0]?.revision
      expect(again).toBe(after + 1)
      const change = { name, after: after + 1, to: undefined }
      expect(await on.log.saveSchedules([change], tx)).toEqual([{ saved: true }])
      await commit()
      expect((await on.log.readSchedules([name])).schedules).toEqual([])
    })

    it('a batch passes over the keys that an open transaction holds: they are told, and the rest is stored', async () => {
      const on = await scene()
      const unique = { key: 'invoice-9', until: 'finished' } as const
      const { tx, commit } = await on.begin()
      const held = [on.newJob({ ordering }), on.newJob({ unique })]
      await on.log.append(held, { tx })
      const batch = [
        on.newJob(),
        on.newJob({ ordering }),
        on.newJob({ ordering: { ...ordering, key: 'account-8' } }),
        on.newJob({ unique }),
        on.newJob({ unique: { ...unique, key: 'invoice-10' } }),
        on.newJob({ ordering, unique: { ...unique, key: 'invoice-11' } }),
      ]
      const answers = await on.log.append(batch, { passLocked: true })
      expect(answers.map(({ id, status }) => [id, status])).toEqual(
        ['added', 'locked', 'added', 'locked', 'added', 'locked'].map((status, index) => [
          batch[index]!.id,
          status,
        ]),
      )
      // A job that is answered as locked is not stored, and holds no key.
      const locked = [batch[1]!, batch[3]!, batch[5]!]
      expect(await on.states(locked)).toEqual([undefined, undefined, undefined])
      expect(await on.state(await on.add({ unique: { ...unique, key: 'invoice-11' } }))).toBe('ready')
      await commit()
      const [first, second] = await on.log.append(locked.slice(0, 2), { passLocked: true })
      expect(first).toMatchObject({ id: locked[0]!.id, status: 'added', state: 'blocked' })
      expect(second).toEqual({ id: held[1]!.id, status: 'duplicate' })
    })

    it('where nothing is locked, a batch that would pass over it is stored as any other', async () => {
      const on = await scene()
      const batch = [on.newJob({ ordering }), on.newJob({ ordering }), on.newJob()]
      const answers = await on.log.append(batch, { passLocked: true })
      expect(answers.map(({ status }) => status)).toEqual(['added', 'added', 'added'])
      expect(await on.states(batch)).toEqual(['ready', 'blocked', 'ready'])
    })

    it('a dispatch that waits for an open transaction of its key does not hold up others', async () => {
      const on = await scene()
      const { tx, commit } = await on.begin()
      const [first, second] = [on.newJob({ ordering }), on.newJob({ ordering })]
      await on.log.append([first], { tx })
      const waiting = on.log.append([second])
      expect(await on.state(await on.add())).toBe('ready')
      await commit()
      await waiting
      expect(await on.states([first, second])).toEqual(['ready', 'blocked'])
    })
  })
}
