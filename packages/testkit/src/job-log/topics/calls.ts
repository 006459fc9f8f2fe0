import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { NewJob, WorkerRef } from '@errand/core/ports'
import { encoded, failure, outcomes } from '../../fixtures.ts'
import type { JobLogHarness } from '../harness.ts'
import { callsOf, newStep, remember, stepsOf, suspend, told, waits } from '../memory.ts'
import type { Scene } from '../scene.ts'
import { scenes } from '../scenes.ts'
import { becomes } from './needs.ts'

const hourMs = 3_600_000
const ada = { by: 'ada' }

/** A job whose handler has called others and waits for them. */
interface Call {
  readonly caller: NewJob
  readonly called: readonly NewJob[]
  readonly worker: WorkerRef
}

/** Handlers that wait for the ends of other jobs. */
export function describeCalls(harness: JobLogHarness): void {
  const { scene } = scenes(harness)
  const { transactions } = harness.capabilities

  const call = async (on: Scene, count = 1, overrides: Partial<NewJob> = {}): Promise<Call> => {
    const { job: caller, worker, claim } = await on.start(overrides)
    const called = await on.addAll(Array.from({ length: count }, () => ({ parentId: caller.id })))
    const settled = await suspend(on, worker, claim, ...callsOf(called))
    expect(settled).toMatchObject({ event: 'suspended', state: 'suspended', tickets: [] })
    return { caller, called, worker }
  }
  const end = async (
    on: Scene,
    worker: WorkerRef,
    job: { readonly id: string },
    outcome = outcomes.succeed(encoded({ of: job.id })),
  ) => on.settle(worker, await on.claim(worker, job), outcome)

  describe('calls', () => {
    it('a caller goes on when what it called has ended, and keeps the result', async () => {
      const on = await scene()
      const { caller, called, worker } = await call(on)
      expect(await stepsOf(on, caller)).toMatchObject([
        { name: 'call/0', kind: 'call', order: undefined, on: called[0]!.id, until: undefined },
      ])
      expect((await on.record(caller)).runAt).toBeUndefined()
      await end(on, worker, called[0]!)
      await becomes(on, caller, 'ready')
      expect(await on.story(caller)).toEqual(['dispatched', 'started', 'suspended', 'resumed'])
      expect((await on.lastEvent(caller)).data.waits).toEqual(['call/0'])
      expect(await stepsOf(on, caller)).toMatchObject([
        { order: 1, by: 'succeeded', body: encoded({ of: called[0]!.id }) },
      ])
      expect(await on.claim(worker, caller)).toMatchObject({ run: 2, attempt: 1 })
    })

    it('it is told how a call has failed, or that it was cancelled', async () => {
      const on = await scene()
      const failed = await call(on)
      await end(on, failed.worker, failed.called[0]!, outcomes.fail(failure('no paper')))
      await becomes(on, failed.caller, 'ready')
      expect(await stepsOf(on, failed.caller)).toMatchObject([{ by: 'failed', body: failure('no paper') }])

      const cancelled = await call(on)
      await on.log.cancel([cancelled.called[0]!.id], ada)
      await becomes(on, cancelled.caller, 'ready')
      expect(await told(on, cancelled.caller)).toEqual(['call/0 by cancelled'])
    })

    it('a call of a job that has ended is over at once', async () => {
      const on = await scene()
      const result = encoded({ pages: 3 })
      const done = await on.ended(outcomes.succeed(result))
      const { job, worker, claim } = await on.start()
      const settled = await suspend(on, worker, claim, waits.call('print', done.id))
      expect(settled).toMatchObject({ event: 'resumed', state: 'ready', tickets: [on.ticket(job)] })
      expect(await stepsOf(on, job)).toMatchObject([{ order: 1, by: 'succeeded', body: result }])
    })

    it('a call of a job that is not there counts as one that was cancelled', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      await suspend(on, worker, claim, waits.call('print', randomUUID()))
      await becomes(on, job, 'ready')
      expect(await told(on, job)).toEqual(['print by cancelled'])
    })

    it('the first of several calls resumes it; it waits for the others again', async () => {
      const on = await scene()
      const { caller, called, worker } = await call(on, 3)
      await end(on, worker, called[1]!)
      await becomes(on, caller, 'ready')
      expect(await told(on, caller)).toEqual(['call/1 by succeeded', 'call/0 open', 'call/2 open'])
      const claim = await on.claim(worker, caller)
      await suspend(
        on,
        worker,
        claim,
        waits.call('call/0', called[0]!.id),
        waits.call('call/2', called[2]!.id),
      )
      await end(on, worker, called[2]!)
      await becomes(on, caller, 'ready')
      await suspend(on, worker, await on.claim(worker, caller), waits.call('call/0', called[0]!.id))
      await end(on, worker, called[0]!)
      await becomes(on, caller, 'ready')
      expect(await told(on, caller)).toEqual([
        'call/1 by succeeded',
        'call/2 by succeeded',
        'call/0 by succeeded',
      ])
    })

    it('two calls that end in one moment resume it once', async () => {
      const on = await scene()
      const { caller, called, worker } = await call(on, 2)
      const claims = [await on.claim(worker, called[0]!), await on.claim(worker, called[1]!)]
      await on.log.settle(
        claims.map(({ id, run }) => ({ id, run, durationMs: 1, outcome: outcomes.succeed(encoded(id)) })),
        worker,
      )
      await becomes(on, caller, 'ready')
      expect((await on.story(caller)).filter((type) => type === 'resumed')).toEqual(['resumed'])
      // One that it was not told of is over at its next suspension.
      await suspend(on, worker, await on.claim(worker, caller), ...callsOf(called))
      await becomes(on, caller, 'ready')
      const steps = await stepsOf(on, caller)
      expect(new Set(steps.map(({ body }) => body?.text))).toEqual(
        new Set(called.map(({ id }) => JSON.stringify(id))),
      )
    })

    it('a call that ends while its caller runs is over at the next suspension, after what that run has done', async () => {
      const on = await scene()
      const { caller, called, worker } = await call(on, 2)
      await end(on, worker, called[0]!)
      await becomes(on, caller, 'ready')
      const claim = await on.claim(worker, caller)
      await end(on, worker, called[1]!)
      await on.log.passNotes(500)
      expect(await told(on, caller)).toEqual(['call/0 by succeeded', 'call/1 open'])
      await remember(on, worker, claim, 'charge')
      await suspend(on, worker, claim, waits.call('call/1', called[1]!.id))
      await becomes(on, caller, 'ready')
      expect(await told(on, caller)).toEqual(['call/0 by succeeded', 'charge', 'call/1 by succeeded'])
    })

    it('a call and a sleep: what is over first counts', async () => {
      const on = await scene()
      const { job, worker, claim } = await on.start()
      const printed = await on.add({ parentId: job.id })
      await suspend(on, worker, claim, waits.call('print', printed.id), waits.sleep('patience', 10))
      await on.sweepUntil(async () => (await on.state(job)) === 'ready')
      expect(await told(on, job)).toEqual(['patience by time', 'print open'])
    })

    it('a call of a flow is over when the flow has ended', async () => {
      const on = await scene()
      for (const outcome of [outcomes.succeed(encoded(1)), outcomes.fail()]) {
        const { job: caller, worker, claim } = await on.start()
        const flow = randomUUID()
        const members = [on.newJob({ flow }), on.newJob({ flow })]
        await on.log.append(members, {
          flows: [{ id: flow, allowFailures: 0, stopOnFailure: false, tags: [], meta: {} }],
        })
        await suspend(on, worker, claim, waits.call('all', flow))
        await end(on, worker, members[0]!)
        await on.log.passNotes(500)
        expect(await on.state(caller)).toBe('suspended')
        await end(on, worker, members[1]!, outcome)
        await becomes(on, caller, 'ready')
        const by = outcome.kind === 'succeed' ? 'succeeded' : 'failed'
        expect(await stepsOf(on, caller)).toMatchObject([{ order: 1, on: flow, by, body: undefined }])
      }
    })

    it('a flow waits for a member that is suspended', async () => {
      const on = await scene()
      const flow = randomUUID()
      const member = on.newJob({ flow })
      await on.log.append([member], {
        flows: [{ id: flow, allowFailures: 0, stopOnFailure: true, tags: [], meta: {} }],
      })
      const worker = await on.worker()
      await suspend(on, worker, await on.claim(worker, member), waits.sleep('rest', 10))
      expect(await on.log.readFlow(flow)).toMatchObject({ state: 'running', total: 1, succeeded: 0 })
      await on.sweepUntil(async () => (await on.state(member)) === 'ready')
      await on.finish(worker, member)
      await on.until(async () => {
        await on.log.passNotes(500)
        return (await on.log.readFlow(flow))?.state === 'succeeded'
      })
    })

    it('cancelling a caller cancels what it has called, and asks what runs to end', async () => {
      const on = await scene()
      const { caller, called, worker } = await call(on, 3)
      await end(on, worker, called[0]!, outcomes.retry(hourMs))
      await on.claim(worker, called[1]!)
      await on.log.cancel([caller.id], ada)
      await becomes(on, called[2]!, 'cancelled')
      await becomes(on, called[0]!, 'cancelled')
      expect((await on.lastEvent(called[2]!)).data.cause).toBe('caller')
      await on.until(async () => (await on.record(called[1]!)).cancelRequested)
      expect(await on.state(called[1]!)).toBe('running')
    })

    it('a flow that was called is cancelled with its caller', async () => {
      const on = await scene()
      const { job: caller, worker, claim } = await on.start()
      const flow = randomUUID()
      const members = [on.newJob({ flow }), on.newJob({ flow, due: { delayMs: hourMs } })]
      await on.log.append(members, {
        flows: [{ id: flow, allowFailures: 0, stopOnFailure: true, tags: [], meta: {} }],
      })
      await suspend(on, worker, claim, waits.call('all', flow))
      await on.log.cancel([caller.id], ada)
      await on.until(async () => {
        await on.log.passNotes(500)
        return (await on.log.readFlow(flow))?.state === 'cancelled'
      })
      expect(await on.states(members)).toEqual(['cancelled', 'cancelled'])
    })

    it('a job that somebody else has dispatched, and that a caller only joined, goes on without it', async () => {
      const on = await scene()
      const shared = await on.add()
      const { job: caller, worker, claim } = await on.start()
      const own = await on.add({ parentId: caller.id })
      await suspend(on, worker, claim, waits.call('join', shared.id), waits.call('own', own.id))
      await on.log.cancel([caller.id], ada)
      await becomes(on, own, 'cancelled')
      expect(await on.state(shared)).toBe('ready')
    })

    it('what it has called and has not ended lives on when a caller succeeds or fails', async () => {
      const on = await scene()
      for (const outcome of [outcomes.succeed(), outcomes.fail()]) {
        const { caller, called, worker } = await call(on, 2)
        await end(on, worker, called[0]!)
        await becomes(on, caller, 'ready')
        await end(on, worker, caller, outcome)
        await on.log.passNotes(500)
        expect(await on.state(called[1]!)).toBe('ready')
        await end(on, worker, called[1]!)
        await on.log.passNotes(500)
        expect(await told(on, caller)).toEqual(['call/0 by succeeded', 'call/1 open'])
      }
    })

    it('a caller that failed because of a call, and is replayed, asks for its end again', async () => {
      const on = await scene()
      const { caller, called, worker } = await call(on)
      const [printed] = called
      await end(on, worker, printed!, outcomes.fail())
      await becomes(on, caller, 'ready')
      await end(on, worker, caller, outcomes.fail())
      await on.log.replay([printed!.id], ada)
      await on.log.replay([caller.id], ada)
      expect(await told(on, caller)).toEqual(['call/0 open'])
      const settled = await suspend(on, worker, await on.claim(worker, caller), ...callsOf(called))
      expect(settled).toMatchObject({ state: 'suspended' })
      await end(on, worker, printed!)
      await becomes(on, caller, 'ready')
      expect(await told(on, caller)).toEqual(['call/0 by succeeded'])
    })

    it('a failed call after which its caller went on stays as it was when the caller is replayed', async () => {
      const on = await scene()
      const { caller, called, worker } = await call(on)
      await end(on, worker, called[0]!, outcomes.fail())
      await becomes(on, caller, 'ready')
      const claim = await on.claim(worker, caller)
      await remember(on, worker, claim, 'refund')
      await on.settle(worker, claim, outcomes.fail())
      await on.log.replay([called[0]!.id, caller.id], ada)
      expect(await told(on, caller)).toEqual(['call/0 by failed', 'refund'])
    })

    it('the result of a call is kept with its caller when the called job is pruned', async () => {
      const on = await scene()
      const { caller, called, worker } = await call(on)
      await end(on, worker, called[0]!)
      await becomes(on, caller, 'ready')
      await on.pass(2)
      await on.until(async () => {
        await on.log.prune({ succeededMs: 0, failedMs: hourMs, limit: 100 })
        return (await on.state(called[0]!)) === undefined
      })
      expect(await stepsOf(on, caller)).toMatchObject([{ body: encoded({ of: called[0]!.id }) }])
    })

    it.runIf(transactions === 'row-locks')(
      'a call is not held up by a transaction that holds the row of what is called',
      async () => {
        const on = await scene()
        const { job: caller, worker, claim } = await on.start()
        const called = await on.start({ parentId: caller.id }, worker)
        const { tx, commit } = await on.begin()
        await on.log.rememberInside(newStep(called.claim, 'book'), worker, tx)
        expect(await suspend(on, worker, claim, waits.call('print', called.job.id))).toMatchObject({
          state: 'suspended',
        })
        await commit()
        await on.settle(worker, called.claim, outcomes.succeed())
        await becomes(on, caller, 'ready')
        expect(await told(on, caller)).toEqual(['print by succeeded'])
      },
    )
  })
}
