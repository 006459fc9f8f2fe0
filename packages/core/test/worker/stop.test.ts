import { expect, test } from 'vitest'
import { defineJob, handle, isErrandError } from '../../src/index.ts'
import { virtualClock } from '../../src/testing/virtual-clock.ts'
import { notingDriver } from './faults.ts'
import { aborted, eventually, hold, stage } from './stage.ts'

const work = defineJob({ name: 'work' })

test('a worker that is stopped takes no more, and lets what runs finish', async () => {
  const clock = virtualClock()
  await using on = stage({ clock })
  const go = hold()
  const begun = hold()
  let aborted: boolean | undefined
  const worker = await on.work({
    concurrency: 1,
    handlers: [
      handle(work, async (_, ctx) => {
        begun.resolve()
        await go.promise
        aborted = ctx.signal.aborted
      }),
    ],
  })
  const first = await on.errand.dispatch(work)
  const second = await on.errand.dispatch(work)
  await begun.promise
  const stopped = worker.stop()
  await eventually(() => {
    expect(worker.health()).toMatchObject({ taking: false, running: 1, why: 'it is stopping' })
  })
  await clock.advance(20_000)
  go.resolve()
  await stopped
  await worker.finished
  expect(await on.history(first.id)).toEqual(['dispatched', 'started', 'succeeded'])
  expect(aborted).toBe(false)
  expect(await on.history(second.id)).toEqual(['dispatched'])
  expect(await on.log.workers()).toEqual([])
})

test('a handler that sees ctx.stopping gives its job back, and another worker runs it at once', async () => {
  await using on = stage()
  const first = await on.begin(work, async (ctx) => {
    await aborted(ctx.stopping)
    return ctx.release()
  })
  const { id } = first
  await first.worker.stop()
  await on.work({ handlers: [handle(work, () => undefined)] })
  await on.until(id, 'succeeded')
  expect(await on.history(id)).toEqual(['dispatched', 'started', 'released', 'started', 'succeeded'])
})

test('a job that is granted while the worker stops goes back before its ticket, and keeps its place', async () => {
  const notes: string[] = []
  const claimed = hold()
  const go = hold()
  await using on = stage({
    driver: notingDriver(notes, () => 'the ticket'),
    wrap: (log) => ({
      ...log,
      async claim(...parameters) {
        const verdicts = await log.claim(...parameters)
        claimed.resolve()
        await go.promise
        return verdicts
      },
      async settle(...parameters) {
        const settled = await log.settle(...parameters)
        for (const each of settled)
          if (each.result !== 'refused') notes.push(`${each.result} as ${each.state}`)
        return settled
      },
    }),
  })
  const worker = await on.work({ handlers: [handle(work, () => undefined)] })
  const { id } = await on.errand.dispatch(work)
  await claimed.promise
  const stopped = worker.stop()
  go.resolve()
  await stopped
  expect(notes).toEqual(['settled as ready', 'released the ticket'])
  expect(await on.history(id)).toEqual(['dispatched', 'started', 'released'])
  expect(await on.releases(id)).toEqual(['shutdown'])
})

test('after the grace the signal aborts, and what ends by that is given back', async () => {
  await using on = stage()
  let reason: unknown
  const { id, worker } = await on.begin(work, async ({ signal }) => {
    await aborted(signal)
    reason = signal.reason
    signal.throwIfAborted()
  })
  await worker.stop({ grace: '20ms' })
  expect(isErrandError(reason, 'E_SHUTDOWN')).toBe(true)
  expect(await on.history(id)).toEqual(['dispatched', 'started', 'released'])
  expect(await on.releases(id)).toEqual(['shutdown'])
  expect(await on.log.get(id)).toMatchObject({ state: 'ready', attempt: 0, run: 1 })
})

test('a job whose handler ignores everything is given back as the last act', async () => {
  await using on = stage()
  const { id, worker } = await on.begin(work, () => new Promise(() => undefined))
  await worker.stop({ grace: 0 })
  expect(await on.history(id)).toEqual(['dispatched', 'started', 'released'])
  expect(await on.releases(id)).toEqual(['shutdown'])
})

test("a begun job with onCrash: 'fail' is not given back: it fails as interrupted", async () => {
  await using on = stage()
  const once = defineJob({ name: 'once', onCrash: 'fail' })
  const causes: string[] = []
  const { id, worker } = await on.begin(
    once,
    async ({ signal }) => {
      await aborted(signal)
      signal.throwIfAborted()
    },
    { failing: ({ cause }) => void causes.push(cause) },
  )
  await worker.stop({ grace: 0 })
  expect(await on.history(id)).toEqual(['dispatched', 'started', 'failed'])
  expect(causes).toEqual(['lost'])
})

test('an operator stops a worker from another process', async () => {
  await using on = stage()
  const worker = await on.work({ handlers: [handle(work, () => undefined)] })
  await on.errand.workers.stop(worker.id)
  await worker.finished
  expect(on.lines.map((line) => line.message)).toContain('an operator has asked this worker to stop')
})

test('stopping twice is one stop, and stop of the definition is called once', async () => {
  await using on = stage()
  let closed = 0
  const worker = await on.work({
    handlers: [handle(work, () => undefined)],
    stop: () => {
      closed += 1
    },
  })
  await Promise.all([worker.stop(), worker.stop(), on.errand.close()])
  expect(closed).toBe(1)
})

test('a worker that is stopped before it is ready starts nothing', async () => {
  await using on = stage()
  const defined = hold<{ handlers: [] }>()
  let closed = 0
  const worker = on.errand.work(
    async () => ({
      ...(await defined.promise),
      handlers: [handle(work, () => undefined)],
      stop: () => {
        closed += 1
      },
    }),
    { signals: false },
  )
  const refused = expect(worker.ready).rejects.toMatchObject({ code: 'E_SHUTDOWN' })
  const stopped = worker.stop()
  defined.resolve({ handlers: [] })
  await Promise.all([refused, stopped, worker.finished])
  expect(closed).toBe(1)
  expect(await on.log.workers()).toEqual([])
})

test('a worker whose factory throws is never ready, and tells why', async () => {
  await using on = stage()
  const worker = on.errand.work(
    () => {
      throw new Error('the container did not start')
    },
    { signals: false },
  )
  await expect(worker.ready).rejects.toThrow('the container did not start')
  await expect(worker.finished).rejects.toThrow('the container did not start')
  await eventually(() => expect(worker.health().taking).toBe(false))
})
