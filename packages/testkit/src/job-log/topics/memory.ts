import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { NewStep } from '@errand/core/ports'
import { longestMemory, longestStepResult, mostSteps } from '@errand/core/ports'
import { encoded, outcomes } from '../../fixtures.ts'
import type { JobLogHarness } from '../harness.ts'
import { newMessage, newStep, remember, send, stepsOf, suspended, told, waits } from '../memory.ts'
import { scenes } from '../scenes.ts'

/** What handlers have done is kept with their jobs. */
export function describeMemory(harness: JobLogHarness): void {
  const { scene } = scenes(harness)

  describe('memory', () => {
    it('a step is kept with its result, its run and when it was completed', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      const before = await on.now()
      const step = newStep(claim, 'charge', { memoryVersion: 3, durationMs: 41 })
      expect(await on.log.remember([step], worker)).toEqual(['kept'])
      const [stored, ...others] = await stepsOf(on, job)
      expect(others).toEqual([])
      expect(stored).toEqual({
        name: 'charge',
        kind: 'step',
        order: 1,
        run: 1,
        memoryVersion: 3,
        at: expect.any(Number),
        durationMs: 41,
        until: undefined,
        on: undefined,
        by: undefined,
        body: encoded({ did: 'charge' }),
        messageId: undefined,
      })
      expect(stored?.at).toBeGreaterThanOrEqual(before)
    })

    it('steps come back in the order in which they were stored, whatever their names', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      await remember(on, worker, claim, 'z', 'b')
      await remember(on, worker, claim, 'a')
      expect((await stepsOf(on, job)).map(({ name, order }) => [name, order])).toEqual([
        ['z', 1],
        ['b', 2],
        ['a', 3],
      ])
    })

    it('a step is stored once: the second of its name changes nothing', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      await remember(on, worker, claim, 'charge')
      const again = newStep(claim, 'charge', { result: encoded('another') })
      expect(await on.log.remember([again], worker)).toEqual(['already'])
      expect(await stepsOf(on, job)).toMatchObject([{ order: 1, body: encoded({ did: 'charge' }) }])
      const twice = [newStep(claim, 'ship', { result: encoded(1) }), newStep(claim, 'ship')]
      expect(await on.log.remember(twice, worker)).toEqual(['kept', 'already'])
      expect((await stepsOf(on, job))[1]).toMatchObject({ name: 'ship', order: 2, body: encoded(1) })
    })

    it('a wait of the same name is in the way, too', async () => {
      const on = await scene()
      const { id } = await suspended(on, [waits.sleep('pause', 0)])
      const worker = await on.worker()
      const claim = await on.claim(worker, { id })
      expect(await remember(on, worker, claim, 'pause')).toEqual(['already'])
    })

    it('a step of a run that was taken away is not recorded', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      const stranger = await on.worker()
      expect(await remember(on, stranger, claim, 'a')).toEqual(['claim-lost'])
      expect(await remember(on, worker, { ...claim, run: 2 }, 'b')).toEqual(['claim-lost'])
      await on.settle(worker, claim, outcomes.retry(0))
      expect(await remember(on, worker, claim, 'c')).toEqual(['claim-lost'])
      await on.sweepUntil(async () => (await on.state(job)) === 'ready')
      await on.claim(stranger, job)
      expect(await remember(on, worker, claim, 'd')).toEqual(['claim-lost'])
      expect(await stepsOf(on, job)).toEqual([])
    })

    it('one call stores steps of many jobs, and answers for each', async () => {
      const on = await scene()
      const worker = await on.worker()
      const [one, two] = await on.addAll([{}, {}])
      const claims = [await on.claim(worker, one!), await on.claim(worker, two!)]
      const ended = await on.ended(outcomes.succeed(), {}, worker)
      const steps: NewStep[] = [
        newStep(claims[1]!, 'a'),
        newStep({ id: ended.id, run: 1 }, 'a'),
        newStep(claims[0]!, 'a'),
        newStep({ id: randomUUID(), run: 1 }, 'a'),
        newStep(claims[1]!, 'b'),
      ]
      expect(await on.log.remember(steps, worker)).toEqual([
        'kept',
        'claim-lost',
        'kept',
        'claim-lost',
        'kept',
      ])
      expect(await told(on, one!)).toEqual(['a'])
      expect(await told(on, two!)).toEqual(['a', 'b'])
      expect(await on.log.remember([], worker)).toEqual([])
    })

    it('a step that returned nothing is a step all the same', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      await on.log.remember([newStep(claim, 'touch', { result: undefined })], worker)
      expect(await stepsOf(on, job)).toMatchObject([{ name: 'touch', order: 1, body: undefined }])
    })

    it('results come back as they were, whatever is in them', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      const texts = ['', 'it\'s a \\ "text"\n\t', 'ä€😀', '{}', 'x'.repeat(longestStepResult)]
      const steps = texts.map((text, at) => newStep(claim, `step/${at}`, { result: { codec: 'raw', text } }))
      expect(await on.log.remember(steps, worker)).toEqual(texts.map(() => 'kept'))
      expect((await stepsOf(on, job)).map(({ body }) => body)).toEqual(
        texts.map((text) => ({ codec: 'raw', text })),
      )
    })

    it('a result that no log can store is refused alone', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      const odd = { codec: 'raw', text: 'a\uD800b' }
      const steps = [newStep(claim, 'a'), newStep(claim, 'odd', { result: odd }), newStep(claim, 'b')]
      expect(await on.log.remember(steps, worker)).toEqual(['kept', 'refused', 'kept'])
      expect(await told(on, job)).toEqual(['a', 'b'])
    })

    it('a job remembers at most 1,000 steps', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      const names = Array.from({ length: mostSteps - 1 }, (_, at) => `step/${at}`)
      await remember(on, worker, claim, ...names)
      expect(await remember(on, worker, claim, 'last', 'more')).toEqual(['kept', 'full'])
      expect(await remember(on, worker, claim, 'more', 'last')).toEqual(['full', 'already'])
      expect(await stepsOf(on, job)).toHaveLength(mostSteps)
    })

    it('a job remembers at most 4 MiB of text, and steps without a result even then', async () => {
      const on = await scene()
      const { worker, claim } = await on.start()
      const text = 'x'.repeat(longestStepResult)
      const steps = Array.from({ length: longestMemory / longestStepResult }, (_, at) =>
        newStep(claim, `step/${at}`, { result: { codec: 'raw', text } }),
      )
      expect(new Set(await on.log.remember(steps, worker))).toEqual(new Set(['kept']))
      expect(await remember(on, worker, claim, 'more')).toEqual(['full'])
      expect(await on.log.remember([newStep(claim, 'none', { result: undefined })], worker)).toEqual(['kept'])
    })

    it('storing a step writes no event', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      const before = await on.record(job)
      await remember(on, worker, claim, 'charge')
      expect(await on.story(job)).toEqual(['dispatched', 'started'])
      expect(await on.record(job)).toEqual(before)
    })

    it('a run that is lost, or tried again, leaves its steps to the next', async () => {
      const on = await scene()
      const job = await on.add()
      const first = await on.worker()
      await remember(on, first, await on.claim(first, job), 'a')
      await on.vanish(first)
      await on.sweepUntil(async () => (await on.state(job)) === 'ready')
      const second = await on.worker()
      const claim = await on.claim(second, job)
      expect(await remember(on, second, claim, 'a', 'b')).toEqual(['already', 'kept'])
      await on.settle(second, claim, outcomes.retry(0))
      expect((await stepsOf(on, job)).map(({ name, run, order }) => [name, run, order])).toEqual([
        ['a', 1, 1],
        ['b', 2, 2],
      ])
    })

    it('every instance reads the same memory, also of a job that has ended', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      await remember(on, worker, claim, 'charge')
      await on.settle(worker, claim, outcomes.succeed())
      const another = await on.another()
      expect(await another.memory(job.id)).toEqual(await on.log.memory(job.id))
      expect(await told(on, job)).toEqual(['charge'])
    })

    it('a job that uses none of it, and one that is not there, remember nothing', async () => {
      const on = await scene()
      const { job } = await on.start()
      const nothing = { steps: [], messages: [] }
      expect(await on.log.memory(job.id)).toEqual(nothing)
      expect(await on.log.memory(randomUUID())).toEqual(nothing)
    })

    it('a failed or cancelled job that is replayed goes on with its memory', async () => {
      const on = await scene()
      for (const outcome of [outcomes.fail(), outcomes.cancel()]) {
        const { job, worker, claim } = await on.start()
        await remember(on, worker, claim, 'charge')
        await on.settle(worker, claim, outcome)
        await on.log.replay([job.id], { by: 'ada' })
        const next = await on.claim(worker, job)
        expect(next.replays).toBe(0)
        expect(await remember(on, worker, next, 'charge', 'ship')).toEqual(['already', 'kept'])
      }
    })

    it('a succeeded job that is replayed has forgotten everything', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      await remember(on, worker, claim, 'charge')
      await on.settle(worker, claim, outcomes.succeed())
      const other = await on.start({}, worker)
      await remember(on, worker, other.claim, 'charge')
      await on.log.replay([job.id], { by: 'ada' })
      expect(await on.log.memory(job.id)).toEqual({ steps: [], messages: [] })
      const next = await on.claim(worker, job)
      expect(next.replays).toBe(1)
      expect(await remember(on, worker, next, 'charge')).toEqual(['kept'])
      expect(await stepsOf(on, job)).toMatchObject([{ order: 1, run: 2 }])
      expect(await told(on, other.job)).toEqual(['charge'])
    })

    it('a failed job begins anew if whoever replays it says so', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      const message = newMessage(job)
      await remember(on, worker, claim, 'charge')
      await send(on, message)
      await on.settle(worker, claim, outcomes.fail())
      await on.log.replay([job.id], { by: 'ada' }, { forget: true })
      expect(await on.log.memory(job.id)).toEqual({ steps: [], messages: [] })
      const next = await on.claim(worker, job)
      expect(next).toMatchObject({ run: 2, attempt: 1, replays: 1 })
      expect(await remember(on, worker, next, 'charge')).toEqual(['kept'])
      expect((await send(on, message)).sent).toBe('sent')
    })

    it('the memory of a job goes with it', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      await remember(on, worker, claim, 'charge')
      const kept = await on.start({}, worker)
      await remember(on, worker, kept.claim, 'charge')
      await on.settle(worker, claim, outcomes.succeed())
      await on.pass(2)
      await on.until(async () => {
        await on.log.prune({ succeededMs: 0, failedMs: 3_600_000, limit: 100 })
        return (await on.state(job)) === undefined
      })
      expect(await stepsOf(on, job)).toEqual([])
      expect(await told(on, kept.job)).toEqual(['charge'])
    })
  })
}
