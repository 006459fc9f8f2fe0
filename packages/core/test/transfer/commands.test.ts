import { expect, test } from 'vitest'
import type { TransferStatus } from '../../src/index.ts'
import { catchRefusal } from '../catch-refusal.ts'
import { a, b, c, by, sortIds, dispatchJobs, listDrivers } from './moves.ts'
import { rig } from './rig.ts'
import type { Process } from './rig.ts'

test('an address that does not answer is refused before anything changes', async () => {
  await using on = rig()
  on.broker(b).broken = true
  const [worker, web] = [on.process(a), on.process(a)]
  await on.work(worker)
  expect(await on.passing(catchRefusal(() => web.errand.transfer.to(b, { by })))).toMatchObject({
    code: 'E_DRIVER',
  })
  expect(await catchRefusal(() => web.errand.transfer.to('broker://typo', { by }))).toMatchObject({
    code: 'E_URL',
  })
  expect(await on.log.transfer()).toBeUndefined()
  expect(await web.errand.transfer.status()).toBeUndefined()
  expect(on.broker(b).open).toBe(0)
})

test('there and back, and there again: each time every process uses the one driver', async () => {
  await using on = rig()
  on.broker(b)
  const [worker, web] = [on.process(a), on.process(a)]
  await on.work(worker)
  for (const [to, other] of [
    [b, a],
    [a, b],
    [b, a],
    [a, b],
  ] as const) {
    await on.passing(web.errand.transfer.to(to, { by }))
    const record = await on.log.transfer()
    expect(record).toMatchObject({ phase: 'moved', to: { url: to }, left: [`broker ${other}`] })
    const published = on.broker(other).published.length
    const [id] = await dispatchJobs(on, web, 1)
    await on.advance(100)
    expect(on.ran.at(-1)).toBe(id)
    expect(on.broker(other)).toMatchObject({ open: 0 })
    expect(on.broker(other).published.length).toBe(published)
  }
})

test('configurations may be changed later: old ones are led on through every move, new ones need nothing', async () => {
  await using on = rig()
  for (const url of [b, c]) on.broker(url)
  const [worker, web] = [on.process(a), on.process(a)]
  await on.work(worker)
  await on.passing(web.errand.transfer.to(b, { by }))
  await on.passing(web.errand.transfer.to(c, { by }))
  expect(await on.log.transfer()).toMatchObject({ left: [`broker ${a}`, `broker ${b}`], from: { url: b } })
  for (const configured of [a, b, c]) {
    const process = on.process(configured)
    const started = await on.work(process)
    const used = (await on.log.workers()).find(({ id }) => id === started.id)?.drivers
    expect(used).toEqual([`broker ${c}`])
    const before = on.broker(c).published.length
    await dispatchJobs(on, process, 1)
    expect(on.broker(c).published.length).toBe(before + 1)
  }
})

test('workers that start during the move help to drain the old driver, where they are configured with it', async () => {
  await using on = rig()
  on.broker(b)
  const web = on.process(a)
  const ids = await dispatchJobs(on, web, 3)
  const stop = new AbortController()
  const moving = web.errand.transfer.to(b, { by, signal: stop.signal })
  await on.advance(1_000)
  await on.work(on.process(b))
  await on.advance(200)
  expect(on.ran).toEqual([])
  await on.work(on.process(a))
  await on.advance(200)
  expect(on.ran.toSorted()).toEqual(sortIds(...ids))
  expect(await listDrivers(on)).toEqual([[`broker ${b}`], [`broker ${b}`, `broker ${a}`]])
  stop.abort()
  await on.passing(moving)
})

test('env:NAME: each process reads its variable, the log holds no URL, and a process without it is named', async () => {
  await using on = rig()
  on.broker(b)
  const next = { NEXT: b }
  const [web, poor] = [on.process(a, next), on.process(a)]
  await on.work(on.process(a, next))
  const lacking = await on.work(poor)
  expect(await catchRefusal(() => poor.errand.transfer.to('env:NEXT', { by }))).toMatchObject({
    code: 'E_CONFIG',
  })
  const states: TransferStatus[] = []
  const moving = web.errand.transfer.to('env:NEXT', { by, onProgress: (status) => void states.push(status) })
  await on.advance(10_000)
  expect(states.at(-1)).toMatchObject({ phase: 'moving', behind: [{ id: lacking.id }] })
  expect(
    poor.lines.some(({ level, message }) => level === 'error' && message?.includes('cannot follow')),
  ).toBe(true)
  expect((await on.log.transfer())?.to).toEqual({ place: `broker ${b}`, url: 'env:NEXT' })
  const { findings } = await on.passing(web.errand.doctor())
  expect(findings.map(({ severity, code }) => `${severity} ${code}`)).toEqual([
    'warning worker-behind',
    'info transfer-under-way',
  ])
  expect(findings[0]?.message).toContain(lacking.id)
  await on.passing(lacking.stop())
  expect(await on.passing(moving)).toMatchObject({ phase: 'moved', behind: [] })
  expect((await on.passing(web.errand.doctor())).findings).toEqual([])
})

test('env:NAME: a process in which it leads elsewhere follows nowhere, and is named', async () => {
  await using on = rig()
  on.broker(b)
  on.broker(c)
  const [web, strange] = [on.process(a, { NEXT: b }), on.process(a, { NEXT: c })]
  const worker = await on.work(strange)
  const states: TransferStatus[] = []
  void web.errand.transfer
    .to('env:NEXT', { by, onProgress: (status) => void states.push(status) })
    .catch(() => undefined)
  await on.advance(10_000)
  expect(states.at(-1)).toMatchObject({ phase: 'moving', behind: [{ id: worker.id }] })
  expect(strange.lines.some(({ message }) => message?.includes('cannot follow'))).toBe(true)
  expect(on.broker(c).open).toBe(0)
})

test('interrupted, the move goes on by itself; called again it is seen through', async () => {
  await using on = rig()
  on.broker(b)
  const [worker, web, other] = [on.process(a), on.process(a), on.process(a)]
  await on.work(worker)
  const stop = new AbortController()
  const moving = web.errand.transfer.to(b, { by, signal: stop.signal })
  await on.advance(1_000)
  stop.abort()
  expect(await on.passing(moving)).toMatchObject({ phase: 'moving' })
  expect(await other.errand.transfer.status()).toMatchObject({ phase: 'moving', by, behind: [] })
  expect(await on.passing(other.errand.transfer.to(b, { by: 'ada' }))).toMatchObject({ phase: 'moved' })
  expect(await on.passing(web.errand.transfer.to(b, { by }))).toMatchObject({ phase: 'moved', behind: [] })
})

test('cancelled, the system goes back to the old driver with what is in flight at the new one', async () => {
  await using on = rig()
  on.broker(b)
  const [worker, web] = [on.process(a), on.process(a)]
  await on.work(worker)
  expect(await catchRefusal(() => web.errand.transfer.cancel({ by }))).toMatchObject({
    code: 'E_NOT_ALLOWED',
  })
  const stop = new AbortController()
  const moving = web.errand.transfer.to(b, { by, signal: stop.signal })
  await on.advance(1_000)
  const ids = await dispatchJobs(on, web, 5)
  stop.abort()
  await on.passing(moving)
  expect(await on.passing(web.errand.transfer.cancel({ by }))).toMatchObject({
    phase: 'moved',
    from: `broker ${b}`,
    to: `broker ${a}`,
  })
  expect(await listDrivers(on)).toEqual([[`broker ${a}`]])
  expect(await on.broker(b).tickets()).toBe(0)
  expect(on.ran.toSorted()).toEqual(ids.toSorted())
})

test('a command that waits for a move that somebody cancels says so, and changes nothing', async () => {
  await using on = rig()
  on.broker(b)
  const [worker, web, other] = [on.process(a), on.process(a), on.process(a)]
  await on.work(worker)
  const moving = catchRefusal(() => web.errand.transfer.to(b, { by }))
  await on.advance(1_000)
  await on.passing(other.errand.transfer.cancel({ by: 'ada' }))
  expect(await on.passing(moving)).toMatchObject({ code: 'E_NOT_ALLOWED' })
  expect(await on.log.transfer()).toMatchObject({ phase: 'moved', to: { place: `broker ${a}` } })
})

test('refused: to the driver in use, to a third one during a move, by a process with another configuration', async () => {
  await using on = rig()
  for (const url of [b, c]) on.broker(url)
  const [worker, web] = [on.process(a), on.process(a)]
  await on.work(worker)
  const refused = async (process: Process, to: string): Promise<void> => {
    expect(await on.passing(catchRefusal(() => process.errand.transfer.to(to, { by })))).toMatchObject({
      code: 'E_NOT_ALLOWED',
    })
  }
  await refused(web, a)
  await refused(on.process(c), b)
  await refused(on.process(b), b)
  const stop = new AbortController()
  const moving = web.errand.transfer.to(b, { by, signal: stop.signal })
  await on.advance(1_000)
  await refused(web, c)
  stop.abort()
  await on.passing(moving)
})
