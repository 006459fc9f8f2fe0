import { describe, expect, it } from 'vitest'
import type { Encoded, NewJob } from '@errand/core/ports'
import { recorded, encoded, failure, outcomes, settlement } from '../../fixtures.ts'
import type { JobLogHarness } from '../harness.ts'
import { scenes } from '../scenes.ts'

/** Texts that have broken queues. As JSON they can all be stored, and must come back unchanged. */
const hostile: readonly (readonly [name: string, text: string])[] = [
  ['a NUL', 'before\0after'],
  ['a lone high surrogate', 'broken \ud83d emoji'],
  ['a lone low surrogate', '\udc00'],
  ['an emoji of several code points', '👩🏽‍🚀 café cafe\u0301'],
  ['quotes and SQL', `'; drop table jobs; -- " \\ $1 $$ %s :name ?`],
  ['line ends and control characters', '\r\n\t\u0007\u001b[31m\u2028\u2029\ufeff'],
  ['nothing', ''],
  ['right-to-left marks', '\u202eabc\u202c'],
  ['what looks like JSON', '{"a":[1,2,{"b":"\\u0000"}]}'],
]

/** The raw characters, which a codec other than JSON may pass on. */
const raw = (text: string): Encoded => ({ codec: 'raw', text })

export function describeData(harness: JobLogHarness): void {
  const { scene } = scenes(harness)

  describe('data', () => {
    it.each(hostile)('%s in payload, result and error comes back to the letter', async (_, text) => {
      const on = await scene()
      const worker = await on.worker()
      const job = await on.add({ payload: encoded({ [text]: text }), tags: ['t'], meta: { note: 'n' } })
      const claim = await on.claim(worker, job)
      expect(JSON.parse(claim.job.payload.text)).toEqual({ [text]: text })
      await on.settle(worker, claim, outcomes.succeed(encoded(text)))
      expect(JSON.parse((await on.record(job)).result?.text ?? 'null')).toBe(text)
      const failed = await on.ended(outcomes.fail(failure(text)), {}, worker)
      expect((await on.record(failed)).error).toEqual(failure(text))
      expect((await on.lastEvent(failed)).body).toEqual(failure(text))
    })

    it.each(hostile)('%s in what operators and handlers say comes back to the letter', async (_, text) => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      await on.beat(worker, { progress: [{ id: job.id, run: claim.run, value: 1, message: text }] })
      await on.settle(worker, claim, outcomes.snooze(3_600_000, text))
      await on.log.cancel([job.id], { by: text || 'nobody', reason: text })
      const [, , progressed, snoozed, cancelled] = await on.events(job)
      expect(progressed?.data.message).toBe(text)
      expect(snoozed?.data.reason).toBe(text)
      expect(cancelled?.data).toMatchObject({ by: text || 'nobody', reason: text })
    })

    it('keys, tags and meta may hold any letter that core lets through', async () => {
      const on = await scene()
      const odd = `Ünïcode 'quoted' "twice" \\ % _ {a,b} null ☃ ${'x'.repeat(400)}`
      const parts: Partial<NewJob> = {
        ordering: { key: odd, onFailure: 'block' },
        unique: { key: odd, until: 'finished' },
        tags: [odd, 'a,b', '{"x"}', 'NULL', ''],
        meta: { [odd]: odd, '': 'empty', __proto__key: 'x', constructor: 'y' },
      }
      const job = await on.add(parts)
      expect(await on.record(job)).toMatchObject({ orderingKey: odd, uniqueKey: odd, tags: parts.tags })
      expect((await on.record(job)).meta).toEqual(parts.meta)
      expect(await on.state(await on.add({ ordering: parts.ordering }))).toBe('blocked')
      expect(await on.log.append([on.newJob({ unique: parts.unique })])).toEqual([
        { id: job.id, status: 'duplicate' },
      ])
      const [listed] = await on.log.list({ tag: odd }, { limit: 1 })
      expect(listed?.id).toBe(job.id)
    })

    it('a megabyte of payload, result and error is stored as it is', async () => {
      const on = await scene()
      const big = encoded('ä€'.repeat(180_000))
      const { job, worker, claim } = await on.start({ payload: big })
      expect(claim.job.payload).toEqual(big)
      await on.settle(worker, claim, outcomes.succeed(big))
      expect((await on.record(job)).result).toEqual(big)
    })

    it('the codec of every text is kept with it', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start({ payload: { codec: 'aes-gcm:k1', text: 'AAEC' } })
      expect(claim.job.payload).toEqual({ codec: 'aes-gcm:k1', text: 'AAEC' })
      await on.settle(worker, claim, outcomes.succeed({ codec: 'gzip', text: 'H4sI' }))
      expect((await on.record(job)).result).toEqual({ codec: 'gzip', text: 'H4sI' })
    })
  })

  describe('a batch is a convenience, never a shared fate', () => {
    const culprits = ['a\0b', '\ud800', 'ok \udfff']

    it.each(culprits)(
      'a payload that the log cannot store (%j) is refused alone, or stored to the letter',
      async (text) => {
        const on = await scene()
        const jobs = [on.newJob(), on.newJob({ payload: raw(text) }), on.newJob(), on.newJob()]
        const appended = await on.log.append(jobs)
        expect(appended.map(({ id }) => id)).toEqual(jobs.map(({ id }) => id))
        expect([appended[0], appended[2], appended[3]].map((answer) => answer?.status)).toEqual([
          'added',
          'added',
          'added',
        ])
        const answer = appended[1]
        if (answer?.status === 'refused') {
          expect(answer.why).toMatch(/\w/)
          expect(await on.log.get(jobs[1]!.id)).toBeUndefined()
        } else expect((await on.record(jobs[1]!)).payload).toEqual(raw(text))
      },
    )

    it.each(culprits)(
      'where all or none was asked for, a payload that cannot be stored (%j) stores none',
      async (text) => {
        const on = await scene()
        const jobs = [on.newJob(), on.newJob({ payload: raw(text) })]
        const stored = await on.log.append(jobs, { atomic: true }).then(
          () => true,
          (error: unknown) => {
            expect(error).toMatchObject({ code: 'E_BATCH_REFUSED' })
            return false
          },
        )
        expect(await on.states(jobs)).toEqual(stored ? ['ready', 'ready'] : [undefined, undefined])
      },
    )

    it.each(culprits)('a result that cannot be stored (%j) fails its job alone, at once', async (text) => {
      const on = await scene()
      const worker = await on.worker()
      await on.addAll([{}, { maxAttempts: 2 }, { maxAttempts: 1 }, {}])
      const claims = await on.take(worker)
      const settled = recorded(
        await on.log.settle(
          claims.map((claim, index) =>
            settlement(claim, outcomes.succeed(index === 1 || index === 2 ? raw(text) : encoded(index))),
          ),
          worker,
        ),
      )
      expect(settled.map(({ result }) => result)).toEqual(['settled', 'settled', 'settled', 'settled'])
      expect([settled[0]?.event, settled[3]?.event]).toEqual(['succeeded', 'succeeded'])
      expect((await on.record(claims[3]!.id)).result).toEqual(encoded(3))
      for (const { id } of [claims[1]!, claims[2]!]) {
        const job = await on.record(id)
        if (job.state === 'succeeded') expect(job.result).toEqual(raw(text))
        else {
          expect(await on.story(id)).toEqual(['dispatched', 'started', 'errored', 'failed'])
          expect(job.error?.text).toMatch(/not storable/)
        }
      }
    })

    it.each(culprits)(
      'an error text that cannot be stored (%j) still ends its run, and its neighbours’ too',
      async (text) => {
        const on = await scene()
        const worker = await on.worker()
        await on.addAll([{}, {}, {}])
        const claims = await on.take(worker)
        const settled = recorded(
          await on.log.settle(
            claims.map((claim, index) =>
              settlement(claim, outcomes.exhaust(index === 1 ? raw(text) : failure('plain'))),
            ),
            worker,
          ),
        )
        expect(settled.map(({ result, state }) => [result, state])).toEqual(
          claims.map(() => ['settled', 'failed']),
        )
        expect((await on.record(claims[0]!.id)).error).toEqual(failure('plain'))
      },
    )

    it('a batch of more than can be written at once is answered whole and in order', async () => {
      const on = await scene()
      const jobs = Array.from({ length: 1_300 }, (_, index) =>
        on.newJob(index % 100 === 50 ? { payload: encoded('x'.repeat(60_000)) } : {}),
      )
      const appended = await on.log.append(jobs)
      expect(appended.map(({ id, status }) => [id, status])).toEqual(jobs.map(({ id }) => [id, 'added']))
      const worker = await on.worker()
      const claims = await on.take(worker, 1_300)
      expect(claims.map(({ id }) => id)).toEqual(jobs.map(({ id }) => id))
      const settled = recorded(
        await on.log.settle(
          claims.map((claim) => settlement(claim, outcomes.succeed())),
          worker,
        ),
      )
      expect(settled.every(({ result }) => result === 'settled')).toBe(true)
    })
  })
}
