import { expect, test } from 'vitest'
import { defineJob, fixed, handle, isErrandError } from '../../src/index.ts'
import { virtualClock } from '../../src/testing/virtual-clock.ts'
import { eventually, hold, stage } from './stage.ts'
import type { Stage } from './stage.ts'

const slow = defineJob({ name: 'slow', timeout: '1s', retry: { attempts: 1, backoff: fixed(0) } })

async function readError(on: Stage, id: string): Promise<unknown> {
  return JSON.parse((await on.log.get(id))?.error?.text ?? 'null')
}

test('a run past its timeout gets its signal aborted, and is recorded as a timeout whatever it returns', async () => {
  const clock = virtualClock()
  await using on = stage({ clock })
  const causes: string[] = []
  let aborted: unknown
  await on.work({
    handlers: [
      handle(slow, async (_, ctx) => {
        await new Promise((resolve) => ctx.signal.addEventListener('abort', resolve))
        aborted = ctx.signal.reason
        return 'done after all'
      }),
    ],
    failing: ({ cause }) => void causes.push(cause),
  })
  const { id } = await on.errand.dispatch(slow)
  await eventually(async () => expect(await on.history(id)).toContain('started'))
  await clock.advance(1_100)
  await on.until(id, 'failed')
  expect(isErrandError(aborted, 'E_TIMEOUT')).toBe(true)
  expect(await readError(on, id)).toMatchObject({ name: 'TimeoutError' })
  await eventually(() => expect(causes).toEqual(['timeout']))
})

test('the slot stays taken until the handler has really ended', async () => {
  const clock = virtualClock()
  await using on = stage({ clock })
  const ended = hold()
  const order: string[] = []
  const next = defineJob({ name: 'next' })
  await on.work({
    concurrency: 1,
    handlers: [
      handle(slow, async () => {
        await ended.promise
        order.push('the slow one has ended')
      }),
      handle(next, () => void order.push('the next one runs')),
    ],
  })
  const first = await on.errand.dispatch(slow)
  await eventually(async () => expect(await on.history(first.id)).toContain('started'))
  const second = await on.errand.dispatch(next)
  await clock.advance(5_000)
  expect(await on.history(second.id)).toEqual(['dispatched'])
  ended.resolve()
  await on.until(second.id, 'succeeded')
  expect(order).toEqual(['the slow one has ended', 'the next one runs'])
  expect(await on.history(first.id)).toEqual(['dispatched', 'started', 'errored', 'failed'])
})

test('a handler that ignores its signal is left behind within the grace, and its job goes on', async () => {
  const clock = virtualClock()
  await using on = stage({ clock })
  const stubborn = defineJob({ name: 'stubborn', timeout: '1s', retry: { attempts: 2, backoff: fixed(0) } })
  let runs = 0
  const late = hold()
  await on.work({
    handlers: [
      handle(stubborn, () => {
        runs += 1
        return runs === 1 ? late.promise : undefined
      }),
    ],
    grace: '10s',
  })
  const { id } = await on.errand.dispatch(stubborn)
  await eventually(() => expect(runs).toBe(1))
  await clock.advance(12_000)
  await on.until(id, 'succeeded')
  late.resolve()
  expect(await on.history(id)).toEqual(['dispatched', 'started', 'errored', 'due', 'started', 'succeeded'])
})

test('with as many handlers left behind as slots the worker stops, and says why', async () => {
  const clock = virtualClock()
  await using on = stage({ clock })
  const worker = await on.work({
    concurrency: 1,
    handlers: [handle(slow, () => new Promise(() => undefined))],
    grace: '1s',
  })
  const { id } = await on.errand.dispatch(slow)
  await eventually(async () => expect(await on.history(id)).toContain('started'))
  const finished = expect(worker.finished).rejects.toMatchObject({ code: 'E_TIMEOUT' })
  await clock.advance(5_000)
  await finished
  expect(await on.history(id)).toEqual(['dispatched', 'started', 'errored', 'failed'])
  expect(worker.health()).toMatchObject({ taking: false })
})
