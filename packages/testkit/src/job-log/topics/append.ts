import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { encoded, newJob, outcomes } from '../../fixtures.ts'
import type { JobLogHarness } from '../harness.ts'
import { scenes } from '../scenes.ts'

export function describeAppend(harness: JobLogHarness): void {
  const { scene } = scenes(harness)

  describe('append', () => {
    it('a job without delay or key is ready at once, and its ticket names the log', async () => {
      const on = await scene()
      const job = on.newJob({ lane: 'high' })
      expect(await on.log.append([job])).toEqual([
        {
          id: job.id,
          status: 'added',
          state: 'ready',
          ticket: { id: job.id, queue: on.queue, lane: 'high', log: on.logId },
        },
      ])
    })

    it('a job is durable once append has resolved: another process finds it with everything it was given', async () => {
      const on = await scene()
      const parent = await on.add()
      const job = await on.add({
        lane: 'low',
        payloadVersion: 3,
        payload: { codec: 'json', text: '{"file":"cat.png","width":320}' },
        tags: ['tenant:7', 'photo'],
        meta: { trace: '00-abc', locale: 'de' },
        ordering: { key: 'album-1', onFailure: 'skip' },
        unique: { key: 'cat.png', until: 'started' },
        parentId: parent.id,
        maxAttempts: 7,
      })
      const elsewhere = await on.another()
      expect(await elsewhere.get(job.id)).toMatchObject({
        id: job.id,
        name: on.jobName,
        queue: on.queue,
        lane: 'low',
        payloadVersion: 3,
        payload: { codec: 'json', text: '{"file":"cat.png","width":320}' },
        tags: ['tenant:7', 'photo'],
        meta: { trace: '00-abc', locale: 'de' },
        orderingKey: 'album-1',
        uniqueKey: 'cat.png',
        parentId: parent.id,
        maxAttempts: 7,
        state: 'ready',
        run: 0,
        attempt: 0,
        crashes: 0,
        worker: undefined,
        cancelRequested: false,
      })
    })

    it('the first event of every job is its dispatch, version 1, with its queue, tags, key and parent', async () => {
      const on = await scene()
      const parentId = randomUUID()
      const job = await on.add({ tags: ['blue'], ordering: { key: 'k', onFailure: 'block' }, parentId })
      const [event, ...more] = await on.events(job)
      expect(more).toEqual([])
      expect(event).toMatchObject({
        jobId: job.id,
        version: 1,
        type: 'dispatched',
        state: 'ready',
        name: on.jobName,
        queue: on.queue,
        tags: ['blue'],
        run: 0,
        attempt: 0,
        data: { orderingKey: 'k', parentId },
      })
    })

    it('answers one by one, in the order of the call', async () => {
      const on = await scene()
      const held = await on.add()
      const [first, last] = [on.newJob(), on.newJob({ due: { delayMs: 60_000 } })]
      const appended = await on.log.append([first, { ...held }, last])
      expect(appended.map(({ id, status }) => [id, status])).toEqual([
        [first.id, 'added'],
        [held.id, 'duplicate'],
        [last.id, 'added'],
      ])
    })

    it('nothing to append is nothing done', async () => {
      const on = await scene()
      expect(await on.log.append([])).toEqual([])
    })

    it('an id that the log has already is a duplicate, and the stored job stays as it was', async () => {
      const on = await scene()
      const job = await on.add()
      expect(await on.log.append([{ ...job, payload: encoded('another'), lane: 'critical' }])).toEqual([
        { id: job.id, status: 'duplicate' },
      ])
      expect(await on.record(job)).toMatchObject({ payload: job.payload, lane: 'normal' })
      expect(await on.story(job)).toEqual(['dispatched'])
    })

    it('a dispatch that is repeated after its job has finished does not start it again', async () => {
      const on = await scene()
      const job = await on.ended(outcomes.succeed())
      expect(await on.log.append([job])).toEqual([{ id: job.id, status: 'duplicate' }])
      expect(await on.state(job)).toBe('succeeded')
    })

    it('of one id twice in a batch, the second is the duplicate', async () => {
      const on = await scene()
      const job = on.newJob()
      const appended = await on.log.append([job, { ...job, payload: encoded('second') }])
      expect(appended.map(({ status }) => status)).toEqual(['added', 'duplicate'])
      expect((await on.record(job)).payload).toEqual(job.payload)
    })

    it('takes any UUID as an id, so that a schedule can make its own', async () => {
      const on = await scene()
      // Version 5, version 8 with high bits set, and the highest one.
      const suffix = randomUUID().slice(14 + 5)
      for (const head of ['2ed6657d-e927-568b-9', 'ffffffff-ffff-8fff-b', '00000000-0000-7000-8']) {
        const id = `${head}${suffix.slice(1)}`
        await on.add({ id })
        expect((await on.record(id)).id).toBe(id)
      }
    })

    it('a delay makes it scheduled, without a ticket; the past and no delay at all are now', async () => {
      const on = await scene()
      const now = await on.now()
      const jobs = [
        on.newJob({ due: { delayMs: 3_600_000 } }),
        on.newJob({ due: { at: now + 3_600_000 } }),
        on.newJob({ due: { at: now - 3_600_000 } }),
        on.newJob({ due: { delayMs: 0 } }),
      ]
      const appended = await on.log.append(jobs)
      expect(
        appended.map((answer) => answer.status === 'added' && [answer.state, answer.ticket?.id]),
      ).toEqual([
        ['scheduled', undefined],
        ['scheduled', undefined],
        ['ready', jobs[2]?.id],
        ['ready', jobs[3]?.id],
      ])
      const [event] = await on.events(jobs[1]!)
      expect(event).toMatchObject({ state: 'scheduled', data: { runAt: now + 3_600_000 } })
    })

    it('keeps the order of the call for jobs without a key', async () => {
      const on = await scene()
      const jobs = await on.addAll(Array.from({ length: 20 }, () => ({})))
      const worker = await on.worker()
      expect((await on.take(worker)).map(({ id }) => id)).toEqual(jobs.map(({ id }) => id))
    })

    it('a batch that is asked to be atomic is stored whole', async () => {
      const on = await scene()
      const jobs = [on.newJob(), on.newJob(), on.newJob()]
      const appended = await on.log.append(jobs, { atomic: true })
      expect(appended.map(({ status }) => status)).toEqual(['added', 'added', 'added'])
    })

    it('a batch of a thousand jobs is one call', async () => {
      const on = await scene()
      const jobs = Array.from({ length: 1_000 }, () => newJob({ queue: on.queue, name: on.jobName }))
      const appended = await on.log.append(jobs)
      expect(appended.map(({ id }) => id)).toEqual(jobs.map(({ id }) => id))
      expect(appended.every(({ status }) => status === 'added')).toBe(true)
    })
  })
}
