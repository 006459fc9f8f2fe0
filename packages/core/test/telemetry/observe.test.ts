// What observers learn of a process that dispatches and works, and that they do no harm.
import { AsyncLocalStorage } from 'node:async_hooks'
import { tracingChannel } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { expect, onTestFinished, test } from 'vitest'
import { defineJob, defineWorker, handle } from '../../src/index.ts'
import { observe } from '../../src/telemetry.ts'
import type { ChannelName, Observers } from '../../src/telemetry.ts'
import { channels } from '../../src/telemetry/channels.ts'
import { eventually, stage } from '../worker/stage.ts'

const email = defineJob({ name: 'email', retry: { attempts: 2, backoff: () => 1 } })
const letter = defineJob({ name: 'letter' })

/** Observes until the test is over. */
function observing(observers: Observers): void {
  onTestFinished(observe(observers))
}

/** Keeps the messages of one channel, in their order. */
function told(name: ChannelName): readonly { readonly what: string; readonly context: any }[] {
  const lines: { what: string; context: any }[] = []
  const keep = (what: string) => (context: unknown) => void lines.push({ what, context })
  observing({ [name]: { start: keep('start'), error: keep('error'), end: keep('end') } })
  return lines
}

test('a job is told from its dispatch to its recorded end, on each channel', async () => {
  await using on = stage()
  const lines = Object.fromEntries(
    (Object.keys(channels) as ChannelName[]).map((name) => [name, told(name)] as const),
  )
  await on.work(defineWorker({ handlers: [handle(email, () => undefined)] }))
  const { id } = await on.errand.dispatch(email, undefined)
  await on.until(id, 'succeeded')
  await eventually(() => expect(lines['sweep']?.some(({ what }) => what === 'end')).toBe(true))

  const ends = (name: ChannelName) =>
    lines[name]?.filter(({ what }) => what === 'end').map((line) => line.context)
  expect(ends('dispatch')).toMatchObject([
    { names: ['email'], parentId: undefined, receipts: [{ id, status: 'added' }] },
  ])
  expect(ends('publish')).toMatchObject([{ tickets: [{ id }], report: { accepted: [{ id }] } }])
  expect(ends('claim')).toContainEqual(
    expect.objectContaining({ tickets: 1, claims: [expect.objectContaining({ id })] }),
  )
  expect(ends('run')).toMatchObject([{ claim: { id, attempt: 1 }, outcome: 'succeeded' }])
  expect(ends('settle')).toMatchObject([
    { settlements: [{ id }], settled: [{ result: 'settled', event: 'succeeded' }] },
  ])
  expect(ends('sweep')?.[0]).toMatchObject({ queues: ['default'], report: { ran: expect.any(Boolean) } })
  for (const name of ['dispatch', 'publish', 'run', 'settle'] as const) {
    expect(lines[name]?.map(({ what }) => what)).toEqual(['start', 'end'])
    // One object from the start to the end, so that an observer may use it as a key.
    expect(lines[name]?.[0]?.context).toBe(lines[name]?.[1]?.context)
  }
})

test('a run that fails tells its outcome and failure, and none of it is an error of the channel', async () => {
  await using on = stage()
  const runs = told('run')
  const handler = handle(email, () => {
    throw Object.assign(new Error('no route'), { code: 'EHOSTUNREACH' })
  })
  await on.work(defineWorker({ handlers: [handler] }))
  const { id } = await on.errand.dispatch(email, undefined)
  await on.until(id, 'failed')
  expect(runs.filter(({ what }) => what === 'end').map(({ context }) => context)).toMatchObject([
    { claim: { attempt: 1 }, outcome: 'errored', failure: { code: 'EHOSTUNREACH' } },
    { claim: { attempt: 2 }, outcome: 'failed', failure: { message: 'no route' } },
  ])
  expect(runs.some(({ what }) => what === 'error')).toBe(false)
})

test('a dispatch that is refused is told as an error, and rejects as it does without observers', async () => {
  await using on = stage()
  const dispatches = told('dispatch')
  await expect(on.errand.dispatch(email, undefined, { lane: 'urgent' as never })).rejects.toMatchObject({
    code: 'E_OPTION',
  })
  expect(dispatches.map(({ what }) => what)).toEqual(['start', 'error', 'end'])
  expect(dispatches[2]?.context).toMatchObject({ names: ['email'], error: { code: 'E_OPTION' } })
})

test('what an observer writes into the meta of a dispatch goes with the job, below what the call gives', async () => {
  await using on = stage()
  observing({
    dispatch: { start: ({ meta }) => void Object.assign(meta, { traceparent: '00-1', by: 'telemetry' }) },
  })
  const metas: unknown[] = []
  const handler = handle(email, async (_, ctx) => {
    metas.push(ctx.job.meta)
    await ctx.dispatch(letter)
  })
  const child = handle(letter, (_, ctx) => void metas.push(ctx.job.meta))
  await on.work(defineWorker({ handlers: [handler, child] }))
  await on.errand.dispatch(email, undefined, { meta: { by: 'the call' } })
  await eventually(() => expect(metas).toHaveLength(2))
  expect(metas).toEqual([
    { traceparent: '00-1', by: 'the call' },
    { traceparent: '00-1', by: 'telemetry' },
  ])
})

test('an AsyncLocalStorage that is bound to the start of a run is seen by its handler', async () => {
  await using on = stage()
  const storage = new AsyncLocalStorage<string>()
  const { start } = tracingChannel('errand:run')
  start.bindStore(
    storage,
    (context) => `run of ${(context as { claim: { job: { name: string } } }).claim.job.name}`,
  )
  onTestFinished(() => void start.unbindStore(storage))
  const seen: unknown[] = []
  const handler = handle(email, async () => {
    await Promise.resolve()
    seen.push(storage.getStore())
  })
  await on.work(defineWorker({ handlers: [handler] }))
  const { id } = await on.errand.dispatch(email, undefined)
  await on.until(id, 'succeeded')
  expect(seen).toEqual(['run of email'])
})

test('an observer that throws is a warning, said once, and the job runs as ever', async () => {
  await using on = stage()
  const broken = (): void => {
    throw new Error('the exporter is broken')
  }
  observing({ dispatch: { start: broken }, run: { start: broken, end: broken }, settle: { end: broken } })
  const warnings: Error[] = []
  const keep = (warning: Error): void => void warnings.push(warning)
  process.on('warning', keep)
  onTestFinished(() => void process.off('warning', keep))
  const warned = once(process, 'warning')
  await on.work(defineWorker({ handlers: [handle(email, () => undefined)] }))
  const ids = [
    (await on.errand.dispatch(email, undefined)).id,
    (await on.errand.dispatch(email, undefined)).id,
  ]
  for (const id of ids) await on.until(id, 'succeeded')
  await warned
  await eventually(() =>
    expect(warnings.map(({ message }) => message).toSorted()).toEqual([
      'an observer of errand:dispatch threw: Error: the exporter is broken',
      'an observer of errand:run threw: Error: the exporter is broken',
      'an observer of errand:settle threw: Error: the exporter is broken',
    ]),
  )
})

test('a handler that returns a lazy thenable runs its work once, with observers and without', async () => {
  await using on = stage()
  let asked = 0
  // Like a query builder's query: nothing happens before somebody calls `then`.
  const query = (): PromiseLike<void> => ({
    // oxlint-disable-next-line unicorn/no-thenable -- it is what this test is about
    then: (kept) => {
      asked += 1
      return Promise.resolve(kept?.()) as never
    },
  })
  await on.work(defineWorker({ handlers: [handle(email, () => query())] }))
  await on.until((await on.errand.dispatch(email, undefined)).id, 'succeeded')
  expect(asked).toBe(1)
  observing({ run: { start: () => undefined, end: () => undefined } })
  await on.until((await on.errand.dispatch(email, undefined)).id, 'succeeded')
  expect(asked).toBe(2)
})
