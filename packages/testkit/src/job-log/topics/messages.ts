import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { mostUnread } from '@errand/core/ports'
import { encoded, outcomes } from '../../fixtures.ts'
import type { JobLogHarness } from '../harness.ts'
import { newMessage, remember, send, stepsOf, suspend, suspended, told, unreadOf, waits } from '../memory.ts'
import type { Scene } from '../scene.ts'
import { scenes } from '../scenes.ts'

const hourMs = 3_600_000

/** What other programs tell a job. */
export function describeMessages(harness: JobLogHarness): void {
  const { scene } = scenes(harness)

  const isReady = (on: Scene, job: { readonly id: string }) => async () => (await on.state(job)) === 'ready'

  describe('messages', () => {
    it('a message ends the wait for it, and its job goes on at once', async () => {
      const on = await scene()
      const job = await suspended(on, [waits.message('approval', 'approved')])
      expect((await on.record(job)).runAt).toBeUndefined()
      const message = newMessage(job)
      expect(await send(on, message)).toEqual({ sent: 'sent', tickets: [on.ticket(job)] })
      expect(await on.story(job)).toEqual(['dispatched', 'started', 'suspended', 'received', 'resumed'])
      const [received, resumed] = (await on.events(job)).slice(-2)
      expect(received).toMatchObject({ state: 'suspended', data: { waits: ['approved'], by: 'ada' } })
      expect(resumed).toMatchObject({ state: 'ready', attempt: 0, data: { waits: ['approval'] } })
      expect(await stepsOf(on, job)).toMatchObject([
        {
          name: 'approval',
          kind: 'message',
          order: 1,
          on: 'approved',
          by: 'message',
          body: message.payload,
          messageId: message.id,
        },
      ])
      expect(await unreadOf(on, job)).toEqual([])
      expect(await on.claim(job.worker, job)).toMatchObject({ run: 2, attempt: 1 })
    })

    it('a message that came before the wait is not lost', async () => {
      const on = await scene()
      const job = await on.add({ due: { delayMs: 10 } })
      const early = newMessage(job, { payload: encoded('early') })
      expect(await send(on, early)).toEqual({ sent: 'sent', tickets: [] })
      await on.sweepUntil(isReady(on, job))
      const worker = await on.worker()
      const claim = await on.claim(worker, job)
      const late = newMessage(job, { payload: encoded('late') })
      expect(await send(on, late)).toEqual({ sent: 'sent', tickets: [] })
      expect(
        (await unreadOf(on, job)).map(({ id, name, by, payload }) => ({ id, name, by, payload })),
      ).toEqual([early, late].map(({ id, name, by, payload }) => ({ id, name, by, payload })))
      const settled = await suspend(on, worker, claim, waits.message('approval', 'approved'))
      expect(settled).toMatchObject({ event: 'resumed', state: 'ready', tickets: [on.ticket(job)] })
      expect(await stepsOf(on, job)).toMatchObject([{ body: early.payload, messageId: early.id }])
      expect((await unreadOf(on, job)).map(({ id }) => id)).toEqual([late.id])
      expect((await on.story(job)).slice(-3)).toEqual(['suspended', 'received', 'resumed'])
    })

    it('a running job keeps a message without an event, also if it has an open wait for it', async () => {
      const on = await scene()
      const { id, worker } = await suspended(on, [
        waits.message('approval', 'approved'),
        waits.sleep('now', 0),
      ])
      await on.claim(worker, { id })
      const before = await on.story({ id })
      expect(await send(on, newMessage({ id }))).toEqual({ sent: 'sent', tickets: [] })
      expect(await on.story({ id })).toEqual(before)
      expect(await told(on, { id })).toEqual(['now by time', 'approval open'])
      expect(await unreadOf(on, { id })).toHaveLength(1)
    })

    it('a message of another name is kept, and resumes nobody', async () => {
      const on = await scene()
      const job = await suspended(on, [waits.message('approval', 'approved')])
      expect(await send(on, newMessage(job, { name: 'refused' }))).toEqual({ sent: 'sent', tickets: [] })
      expect(await on.state(job)).toBe('suspended')
      expect((await unreadOf(on, job)).map(({ name }) => name)).toEqual(['refused'])
    })

    it('a wait takes one message; those that come after it are kept in their order', async () => {
      const on = await scene()
      const { id, worker } = await suspended(on, [waits.message('first', 'line')])
      const messages = [1, 2, 3, 4].map((at) => newMessage({ id }, { name: 'line', payload: encoded(at) }))
      const { sent } = await on.log.send(messages)
      expect(sent).toEqual(['sent', 'sent', 'sent', 'sent'])
      expect((await on.story({ id })).slice(-2)).toEqual(['received', 'resumed'])
      for (const name of ['second', 'third', 'fourth'])
        await suspend(on, worker, await on.claim(worker, { id }), waits.message(name, 'line'))
      expect((await stepsOf(on, { id })).map(({ name, body }) => [name, body?.text])).toEqual([
        ['first', '1'],
        ['second', '2'],
        ['third', '3'],
        ['fourth', '4'],
      ])
      expect(await unreadOf(on, { id })).toEqual([])
    })

    it('a message goes to the youngest wait for it: an older one has lost a race', async () => {
      const on = await scene()
      const { id, worker } = await suspended(on, [
        waits.message('approval', 'approved'),
        waits.sleep('patience', 0),
      ])
      const claim = await on.claim(worker, { id })
      await suspend(
        on,
        worker,
        claim,
        waits.message('approval', 'approved'),
        waits.message('second', 'approved'),
      )
      await send(on, newMessage({ id }))
      expect(await told(on, { id })).toEqual(['patience by time', 'second by message', 'approval open'])
    })

    it('of two waits of one run the one that was named later is the youngest', async () => {
      const on = await scene()
      const job = await suspended(on, [waits.message('a', 'approved'), waits.message('b', 'approved')])
      await send(on, newMessage(job))
      expect(await told(on, job)).toEqual(['b by message', 'a open'])
    })

    it('two messages for two waits end both, and resume the job once', async () => {
      const on = await scene()
      const job = await suspended(on, [waits.message('a', 'one'), waits.message('b', 'two')])
      const { tickets } = await on.log.send([
        newMessage(job, { name: 'two' }),
        newMessage(job, { name: 'one' }),
      ])
      expect(tickets).toEqual([on.ticket(job)])
      expect((await on.story(job)).slice(2)).toEqual(['suspended', 'received', 'received', 'resumed'])
      expect(await told(on, job)).toEqual(expect.arrayContaining(['a by message', 'b by message']))
      expect(new Set((await on.lastEvent(job)).data.waits)).toEqual(new Set(['a', 'b']))
    })

    it('a wait with a time-out ends by time if no message comes', async () => {
      const on = await scene()
      const job = await suspended(on, [waits.message('approval', 'approved', 20)])
      await on.sweepUntil(isReady(on, job))
      expect(await stepsOf(on, job)).toMatchObject([{ order: 1, by: 'time', body: undefined }])
      // A later message is for a later wait.
      await send(on, newMessage(job))
      expect(await unreadOf(on, job)).toHaveLength(1)
    })

    it('a wait with a time-out takes a message that comes in time', async () => {
      const on = await scene()
      const job = await suspended(on, [waits.message('approval', 'approved', hourMs)])
      expect((await on.record(job)).runAt).toBeDefined()
      await send(on, newMessage(job))
      expect(await told(on, job)).toEqual(['approval by message'])
      expect((await on.record(job)).runAt).toBeUndefined()
    })

    it('a second message with the same id is told as a duplicate, before and after it was taken', async () => {
      const on = await scene()
      const { id, worker } = await suspended(on, [waits.message('approval', 'approved')])
      const message = newMessage({ id })
      const again = { ...message, payload: encoded('again') }
      const { sent } = await on.log.send([message, again])
      expect(sent).toEqual(['sent', 'duplicate'])
      expect((await send(on, again)).sent).toBe('duplicate')
      const kept = newMessage({ id })
      await send(on, kept)
      expect((await send(on, kept)).sent).toBe('duplicate')
      expect((await unreadOf(on, { id })).map((each) => each.id)).toEqual([kept.id])
      await on.finish(worker, { id })
      expect((await send(on, message)).sent).toBe('duplicate')
    })

    it('a message for a job that has ended, or that the log does not know, says so', async () => {
      const on = await scene()
      const ended = [
        await on.ended(outcomes.succeed()),
        await on.ended(outcomes.fail()),
        await on.ended(outcomes.cancel()),
      ]
      const { sent, tickets } = await on.log.send([
        ...ended.map((job) => newMessage(job)),
        newMessage({ id: randomUUID() }),
      ])
      expect(sent).toEqual(['ended', 'ended', 'ended', 'unknown'])
      expect(tickets).toEqual([])
      expect(await unreadOf(on, ended[0]!)).toEqual([])
    })

    it('a job has at most 1,000 unread messages', async () => {
      const on = await scene()
      const job = await on.add()
      const messages = Array.from({ length: mostUnread }, () => newMessage(job))
      const { sent } = await on.log.send(messages)
      expect(new Set(sent)).toEqual(new Set(['sent']))
      expect((await send(on, newMessage(job))).sent).toBe('full')
      expect((await send(on, messages[0]!)).sent).toBe('duplicate')
      const worker = await on.worker()
      await suspend(on, worker, await on.claim(worker, job), waits.message('a', 'approved'))
      expect((await send(on, newMessage(job))).sent).toBe('sent')
    })

    it('a payload that no log can store is refused alone', async () => {
      const on = await scene()
      const job = await on.add()
      const odd = { codec: 'raw', text: 'a\uD800b' }
      const { sent } = await on.log.send([
        newMessage(job),
        newMessage(job, { payload: odd }),
        newMessage(job),
      ])
      expect(sent).toEqual(['sent', 'refused', 'sent'])
      expect(await unreadOf(on, job)).toHaveLength(2)
    })

    it('one call tells many jobs', async () => {
      const on = await scene()
      const waiting = [
        await suspended(on, [waits.message('a', 'approved')]),
        await suspended(on, [waits.message('a', 'approved')]),
      ]
      const ready = await on.add()
      const { sent, tickets } = await on.log.send(
        [waiting[0]!, ready, waiting[1]!].map((job) => newMessage(job)),
      )
      expect(sent).toEqual(['sent', 'sent', 'sent'])
      expect(tickets.map(({ id }) => id).toSorted()).toEqual(waiting.map(({ id }) => id).toSorted())
      expect(await on.log.send([])).toEqual({ sent: [], tickets: [] })
    })

    it('unread messages stay with a job that fails, and are there when it is replayed', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      await send(on, newMessage(job))
      await on.settle(worker, claim, outcomes.fail())
      expect(await unreadOf(on, job)).toHaveLength(1)
      await on.log.replay([job.id], { by: 'ada' })
      const settled = await suspend(
        on,
        worker,
        await on.claim(worker, job),
        waits.message('approval', 'approved'),
      )
      expect(settled).toMatchObject({ event: 'resumed' })
    })

    it('a succeeded job that is replayed has no messages', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      const message = newMessage(job)
      await send(on, message)
      await on.settle(worker, claim, outcomes.succeed())
      await on.log.replay([job.id], { by: 'ada' })
      expect(await unreadOf(on, job)).toEqual([])
      expect((await send(on, message)).sent).toBe('sent')
    })

    it('a step and a message have one order', async () => {
      const on = await scene()
      const { id, worker } = await suspended(on, [waits.message('approval', 'approved')])
      await send(on, newMessage({ id }))
      await remember(on, worker, await on.claim(worker, { id }), 'ship')
      expect((await stepsOf(on, { id })).map(({ name, order }) => [name, order])).toEqual([
        ['approval', 1],
        ['ship', 2],
      ])
    })
  })
}
