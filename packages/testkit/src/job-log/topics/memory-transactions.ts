import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { mostSteps } from '@errand/core/ports'
import { encoded, outcomes } from '../../fixtures.ts'
import type { JobLogHarness } from '../harness.ts'
import {
  newMessage,
  newStep,
  remember,
  send,
  stepsOf,
  suspend,
  suspended,
  told,
  unreadOf,
  waits,
} from '../memory.ts'
import { scenes } from '../scenes.ts'
import { becomes } from './needs.ts'

const hourMs = 3_600_000

/** Steps and messages as a part of the application's own transactions. */
export function describeMemoryTransactions(harness: JobLogHarness): void {
  const { scene } = scenes(harness)
  const { transactions } = harness.capabilities

  describe.runIf(transactions !== 'none')("memory in the application's own transactions", () => {
    it('a step in a transaction is recorded with it', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      const { tx, commit } = await on.begin()
      expect(await on.log.recall(claim, 'book', worker, tx)).toBeUndefined()
      await on.log.rememberInside(newStep(claim, 'book'), worker, tx)
      expect(await on.log.recall(claim, 'book', worker, tx)).toMatchObject({ name: 'book', order: 1 })
      expect(await stepsOf(on, job)).toEqual([])
      await commit()
      expect(await stepsOf(on, job)).toMatchObject([
        { name: 'book', kind: 'step', order: 1, run: 1, durationMs: 7, body: encoded({ did: 'book' }) },
      ])
      expect(await on.story(job)).toEqual(['dispatched', 'started'])
    })

    it('one that rolls back never was, and may be tried again', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      const { tx, rollback } = await on.begin()
      await on.log.rememberInside(newStep(claim, 'book'), worker, tx)
      await rollback()
      expect(await stepsOf(on, job)).toEqual([])
      const again = await on.begin()
      expect(await on.log.recall(claim, 'book', worker, again.tx)).toBeUndefined()
      await on.log.rememberInside(newStep(claim, 'book'), worker, again.tx)
      await again.commit()
      expect(await told(on, job)).toEqual(['book'])
    })

    it('a later run finds what a transaction has recorded, although its worker died after the commit', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      const { tx, commit } = await on.begin()
      await on.log.rememberInside(newStep(claim, 'book'), worker, tx)
      await commit()
      await on.vanish(worker)
      await on.sweepUntil(async () => (await on.state(job)) === 'ready')
      const second = await on.worker()
      const next = await on.claim(second, job)
      const later = await on.begin()
      expect(await on.log.recall(next, 'book', second, later.tx)).toMatchObject({ run: 1, order: 1 })
      await later.commit()
    })

    it('steps and waits that were stored outside are found inside', async () => {
      const on = await scene()
      const { id, worker, claim } = await suspended(on, [waits.sleep('pause', 0)])
      const next = await on.claim(worker, { id })
      await remember(on, worker, next, 'charge')
      const { tx, commit } = await on.begin()
      expect(await on.log.recall(next, 'charge', worker, tx)).toMatchObject({ kind: 'step', order: 2 })
      expect(await on.log.recall(next, 'pause', worker, tx)).toMatchObject({ kind: 'sleep', by: 'time' })
      await commit()
      expect(claim.run).toBe(1)
    })

    it('a run that has lost its claim can neither ask nor record, so its transaction rolls back', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      const stranger = await on.worker()
      await on.settle(worker, claim, outcomes.retry(hourMs))
      const running = await on.start({}, worker)
      const attempts = [
        [claim, worker],
        [running.claim, stranger],
        [{ id: randomUUID(), run: 1 }, worker],
      ] as const
      for (const [fence, by] of attempts) {
        const lost = { code: 'E_CLAIM_LOST' }
        const asks = await on.begin()
        await expect(on.log.recall(fence, 'book', by, asks.tx)).rejects.toMatchObject(lost)
        await asks.rollback()
        const records = await on.begin()
        const step = newStep(fence, 'book')
        await expect(on.log.rememberInside(step, by, records.tx)).rejects.toMatchObject(lost)
        await records.rollback()
      }
      expect(await stepsOf(on, job)).toEqual([])
      expect(await stepsOf(on, running.job)).toEqual([])
    })

    it('a name that is stored by then throws, so that the effect is not done twice', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      await remember(on, worker, claim, 'book')
      const { tx, rollback } = await on.begin()
      const step = newStep(claim, 'book', { result: encoded('another') })
      await expect(on.log.rememberInside(step, worker, tx)).rejects.toMatchObject({ code: 'E_CLAIM_LOST' })
      await rollback()
      expect(await stepsOf(on, job)).toMatchObject([{ body: encoded({ did: 'book' }) }])
    })

    it('one step too many, and a result that cannot be stored, throw', async () => {
      const on = await scene()
      const { worker, claim } = await on.start()
      const odd = newStep(claim, 'odd', { result: { codec: 'raw', text: 'a\uD800b' } })
      const first = await on.begin()
      await expect(on.log.rememberInside(odd, worker, first.tx)).rejects.toMatchObject({
        code: 'E_STEP_RESULT',
      })
      await first.rollback()
      await remember(on, worker, claim, ...Array.from({ length: mostSteps }, (_, at) => `step/${at}`))
      const second = await on.begin()
      const more = newStep(claim, 'more')
      await expect(on.log.rememberInside(more, worker, second.tx)).rejects.toMatchObject({
        code: 'E_STEP_LIMIT',
      })
      await second.rollback()
    })

    it('a handler may record a step, dispatch, send and complete in one transaction', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      const child = on.newJob({ parentId: job.id })
      const message = newMessage(child)
      const { tx, commit } = await on.begin()
      await on.log.rememberInside(newStep(claim, 'book'), worker, tx)
      await on.log.append([child], { tx })
      expect(await on.log.send([message], { tx })).toEqual({ sent: ['sent'], tickets: [] })
      await on.log.complete(claim, undefined, worker, tx)
      await commit()
      expect(await on.states([job, child])).toEqual(['succeeded', 'ready'])
      expect(await told(on, job)).toEqual(['book'])
      expect((await unreadOf(on, child)).map(({ id }) => id)).toEqual([message.id])
    })

    it('a message in a transaction arrives with its commit', async () => {
      const on = await scene()
      const job = await suspended(on, [waits.message('approval', 'approved')])
      const { tx, commit } = await on.begin()
      expect((await on.log.send([newMessage(job)], { tx })).sent).toEqual(['sent'])
      expect(await on.state(job)).toBe('suspended')
      await commit()
      await becomes(on, job, 'ready')
      expect(await told(on, job)).toEqual(['approval by message'])
      expect(await on.story(job)).toEqual(['dispatched', 'started', 'suspended', 'received', 'resumed'])
    })

    it('a sweep delivers it if nobody else does', async () => {
      const on = await scene()
      const job = await suspended(on, [waits.message('approval', 'approved')])
      const { tx, commit } = await on.begin()
      await on.log.send([newMessage(job)], { tx })
      await commit()
      await on.sweepUntil(async () => (await on.state(job)) === 'ready')
    })

    it('a message in a transaction that rolls back never was', async () => {
      const on = await scene()
      const job = await suspended(on, [waits.message('approval', 'approved')])
      const message = newMessage(job)
      const { tx, rollback } = await on.begin()
      await on.log.send([message], { tx })
      await rollback()
      await on.log.passNotes(500)
      await on.sweep()
      expect(await on.state(job)).toBe('suspended')
      expect(await unreadOf(on, job)).toEqual([])
      expect((await send(on, message)).sent).toBe('sent')
    })

    it('inside, too, the log says which messages it did not take', async () => {
      const on = await scene()
      const job = await on.add()
      const known = newMessage(job)
      await send(on, known)
      const ended = await on.ended(outcomes.succeed())
      const { tx, commit } = await on.begin()
      const fresh = newMessage(job)
      const { sent } = await on.log.send(
        [known, fresh, fresh, newMessage(ended), newMessage({ id: randomUUID() })],
        { tx },
      )
      expect(sent).toEqual(['duplicate', 'sent', 'duplicate', 'ended', 'unknown'])
      await commit()
      expect((await unreadOf(on, job)).map(({ id }) => id)).toEqual([known.id, fresh.id])
    })
  })

  describe.runIf(transactions === 'row-locks')('memory beside open transactions', () => {
    it('a run whose step is in an open transaction is not called lost, and nobody waits', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      const { tx, commit } = await on.begin()
      await on.log.rememberInside(newStep(claim, 'book'), worker, tx)
      await on.vanish(worker)
      await on.sweep()
      await on.sweep()
      expect(await on.state(job)).toBe('running')
      await commit()
      await on.sweepUntil(async () => (await on.state(job)) === 'ready')
      expect(await told(on, job)).toEqual(['book'])
    })

    it('a step of the same run does not wait for the transaction of another', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      const { tx, commit } = await on.begin()
      await on.log.rememberInside(newStep(claim, 'book'), worker, tx)
      const [answer] = await remember(on, worker, claim, 'charge')
      expect(['kept', 'again']).toContain(answer)
      await commit()
      if (answer === 'again')
        await on.until(async () => (await remember(on, worker, claim, 'charge'))[0] === 'kept')
      expect((await told(on, job)).toSorted()).toEqual(['book', 'charge'])
    })

    it('a message to a job whose row is locked is stored, and arrives a little later', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      const { tx, commit } = await on.begin()
      await on.log.rememberInside(newStep(claim, 'book'), worker, tx)
      expect((await send(on, newMessage(job))).sent).toBe('sent')
      await commit()
      await suspend(on, worker, claim, waits.message('approval', 'approved'))
      await becomes(on, job, 'ready')
      expect(await told(on, job)).toEqual(['book', 'approval by message'])
    })

    it('a message in an open transaction holds up nobody', async () => {
      const on = await scene()
      const { id, worker } = await suspended(on, [
        waits.message('approval', 'approved'),
        waits.sleep('patience', 10),
      ])
      const { tx, commit } = await on.begin()
      const message = newMessage({ id })
      await on.log.send([message], { tx })
      await on.sweepUntil(async () => (await on.state({ id })) === 'ready')
      const claim = await on.claim(worker, { id })
      expect(await remember(on, worker, claim, 'escalate')).toEqual(['kept'])
      await suspend(on, worker, claim, waits.message('second', 'approved'))
      expect(await on.state({ id })).toBe('suspended')
      await commit()
      await becomes(on, { id }, 'ready')
      expect(await told(on, { id })).toEqual([
        'patience by time',
        'escalate',
        'second by message',
        'approval open',
      ])
    })

    it('a message whose transaction commits after the wait has begun ends it', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      const { tx, commit } = await on.begin()
      await on.log.send([newMessage(job)], { tx })
      const settled = await suspend(on, worker, claim, waits.message('approval', 'approved'))
      expect(settled).toMatchObject({ state: 'suspended' })
      await commit()
      await becomes(on, job, 'ready')
      expect(await told(on, job)).toEqual(['approval by message'])
    })

    it('a message whose transaction commits after its job has ended is there to be seen', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      const { tx, commit } = await on.begin()
      const message = newMessage(job)
      await on.log.send([message], { tx })
      await on.settle(worker, claim, outcomes.succeed())
      await commit()
      await on.log.passNotes(500)
      await on.sweep()
      expect((await unreadOf(on, job)).map(({ id }) => id)).toEqual([message.id])
    })
  })
}
