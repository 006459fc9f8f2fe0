import { expect, test } from 'vitest'
import type { TransferStatus } from '../../src/index.ts'
import { catchRefusal } from '../catch-refusal.ts'
import { job, rig } from './rig.ts'
import type { Process, Rig } from './rig.ts'

const a = 'broker://a'
const b = 'broker://b'
const c = 'broker://c'
const by = 'mia'

const sorted = (...ids: readonly (string | undefined)[]): string[] => ids.map(String).toSorted()

async function dispatched(on: Rig, { errand }: Process, count: number): Promise<string[]> {
  const receipts = await on.passing(errand.dispatchMany(Array.from({ length: count }, (_, n) => job.with(n))))
  return receipts.map(({ id }) => id)
}

async function settled(on: Rig): Promise<boolean> {
  return (await on.log.queues()).every(({ ready, running, scheduled }) => ready + running + scheduled === 0)
}

async function allEnded(on: Rig): Promise<void> {
  for (let seconds = 0; seconds < 120 && !(await settled(on)); seconds += 1) await on.advance(1_000)
  expect(await settled(on)).toBe(true)
}

async function drivers(on: Rig): Promise<readonly (readonly string[])[]> {
  return (await on.log.workers()).filter(({ alive }) => alive).map((worker) => worker.drivers)
}

test.each([
  { from: a, to: b },
  { from: a, to: 'database' },
  { from: 'database', to: a },
])('jobs in flight from $from to $to: each runs once, and nothing is left behind', async ({ from, to }) => {
  await using on = rig()
  on.broker(to)
  const [one, two, web] = [on.process(from), on.process(from), on.process(from)]
  const before = await dispatched(on, web, 40)
  const slowly = { concurrency: 2, run: () => new Promise<void>((resolve) => setTimeout(resolve, 2)) }
  await on.work(one, slowly)
  await on.work(two, slowly)
  const moving = web.errand.transfer.to(to, { by })
  const during: string[] = []
  const dispatching = (async () => {
    for (let n = 0; n < 20; n += 1) {
      during.push((await web.errand.dispatch(job, n)).id)
      await new Promise((resolve) => setTimeout(resolve, 1))
    }
  })()
  const status = await on.passing(moving)
  await on.passing(dispatching)
  expect(status).toMatchObject({ phase: 'moved', by, behind: [], left: [] })
  expect(await on.broker(from).tickets()).toBe(0)
  const [place] = (await drivers(on))[0] ?? []
  expect(await drivers(on)).toEqual([[place], [place]])
  expect(place).toContain(to)
  expect(on.broker(from).open).toBe(0)
  const after = await dispatched(on, web, 5)
  await allEnded(on)
  expect(on.ran.toSorted()).toEqual([...before, ...during, ...after].toSorted())
})

test('workers that wait for jobs move as well, and start what is dispatched at the new driver at once', async () => {
  await using on = rig()
  on.broker(b)
  const [idle, web] = [on.process(a), on.process(a)]
  await on.work(idle)
  await on.advance(1_000)
  await on.passing(web.errand.transfer.to(b, { by }))
  const [id] = await dispatched(on, web, 1)
  await on.advance(100)
  expect(on.ran).toEqual([id])
  expect(on.broker(b).published).toEqual([id])
  expect(on.broker(a).published).toEqual([])
})

test('the operator of a move may have any name: what no log can store is replaced, and a long one is cut', async () => {
  await using on = rig()
  on.broker(b)
  const web = on.process(a)
  await on.passing(web.errand.transfer.to(b, { by: `mia\0\uD800${'x'.repeat(1_000)}` }))
  const status = await on.passing(web.errand.transfer.status())
  expect(status?.by).toMatch(/^mia\uFFFD\uFFFDx+…$/)
  expect(Buffer.byteLength(status?.by ?? '')).toBeLessThanOrEqual(256 + 4)
})

test('publishes that hang at the driver that is left do not hold up the next ones at the new one', async () => {
  await using on = rig()
  on.broker(b)
  const web = on.process(a)
  on.broker(a).hangs = true
  // As many as may be under way at a time, each with a batch of its own.
  const hanging = Array.from({ length: 4 }, async (_, n) => {
    await on.clock.sleep(n)
    return web.errand.dispatch(job, n)
  })
  await on.advance(50)
  const moving = web.errand.transfer.to(b, { by })
  await on.advance(500)
  const { id } = await on.passing(web.errand.dispatch(job, 5))
  expect(on.broker(b).published).toContain(id)
  await on.passing(Promise.all([moving, ...hanging]))
})

test('while the system moves, tickets of both drivers start jobs at once', async () => {
  await using on = rig()
  on.broker(b)
  const [one, late, web] = [on.process(a), on.process(a), on.process(a)]
  await on.work(one)
  await on.passing(late.errand.connect())
  const stop = new AbortController()
  const moving = web.errand.transfer.to(b, { by, signal: stop.signal })
  await on.advance(2_000)
  const [atNew] = await dispatched(on, web, 1)
  const [atOld] = await dispatched(on, late, 1)
  await on.advance(200)
  expect(on.broker(a).published).toEqual([atOld])
  expect(on.broker(b).published).toEqual([atNew])
  expect(on.ran.toSorted()).toEqual(sorted(atNew, atOld))
  stop.abort()
  await on.passing(moving)
})

test('a process that only dispatches learns of a move within seconds; an idle one before its first ticket', async () => {
  await using on = rig()
  on.broker(b)
  const [worker, web, idle, operator] = [on.process(a), on.process(a), on.process(a), on.process(a)]
  await on.work(worker)
  await dispatched(on, web, 1)
  await dispatched(on, idle, 1)
  await on.advance(6_000)
  await on.passing(operator.errand.transfer.to(b, { by }))
  const old = on.broker(a).published.length
  on.lookMs = 100
  await dispatched(on, idle, 1)
  await dispatched(on, web, 3)
  expect(on.broker(a).published.length).toBe(old)
  expect(on.broker(b).published.length).toBe(4)
  await on.advance(6_000)
  // A log that does not answer this question holds up nobody.
  on.lookMs = 60_000
  const dispatching = web.errand.dispatch(job, 1)
  await on.advance(300)
  await dispatching
  expect(on.broker(b).published.length).toBe(5)
})

test('a move does not end while a dispatcher that has not learned of it may still publish', async () => {
  await using on = rig()
  on.broker(b)
  const [worker, web, operator] = [on.process(a), on.process(a), on.process(a)]
  await on.work(worker)
  await dispatched(on, web, 1)
  const states: TransferStatus[] = []
  const moving = operator.errand.transfer.to(b, { by, onProgress: (status) => void states.push(status) })
  await on.advance(4_900)
  expect(states.at(-1)?.phase).toBe('moving')
  await on.passing(moving)
  expect(states.at(-1)?.phase).toBe('moved')
})

test('tickets of a paused queue are not waited for: its jobs run when it is resumed', async () => {
  await using on = rig()
  on.broker(b)
  const [worker, web] = [on.process(a), on.process(a)]
  await on.work(worker)
  await on.passing(web.errand.queues.pause('q', by))
  await on.advance(1_000)
  const ids = await dispatched(on, web, 3)
  const status = await on.passing(web.errand.transfer.to(b, { by }))
  expect(status).toMatchObject({ phase: 'moved', left: [{ queue: 'q', tickets: 3, why: 'paused' }] })
  await on.passing(web.errand.queues.resume('q', by))
  await on.advance(3_000)
  expect(on.ran.toSorted()).toEqual(ids.toSorted())
})

test('a ready job whose ticket nobody has fetched has a new one before the old driver is left', async () => {
  await using on = rig()
  on.broker(b)
  const web = on.process(a)
  const ids = await dispatched(on, web, 3)
  // No worker serves the old driver, so nobody would ever drain it.
  expect(await on.passing(web.errand.transfer.to(b, { by }))).toMatchObject({
    phase: 'moved',
    left: [{ queue: 'q', tickets: 3, why: 'unserved' }],
  })
  await on.work(on.process(b))
  await on.advance(2_500)
  expect(on.ran.toSorted()).toEqual(ids.toSorted())
})

test('a broker that burns is left as well: nobody waits for its tickets, and every job runs', async () => {
  await using on = rig()
  on.broker(b)
  const [worker, web] = [on.process(a), on.process(a)]
  await on.work(worker)
  on.broker(a).broken = true
  const ids = await dispatched(on, web, 3)
  const moving = web.errand.transfer.to(b, { by })
  await on.advance(2_000)
  const [during] = await dispatched(on, web, 1)
  await on.advance(500)
  expect(on.ran).toContain(during)
  expect(await on.passing(moving)).toMatchObject({
    phase: 'moved',
    left: [{ queue: 'q', why: 'unreachable' }],
  })
  await allEnded(on)
  expect(on.ran.toSorted()).toEqual(sorted(...ids, during))
})

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
    const [id] = await dispatched(on, web, 1)
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
    await dispatched(on, process, 1)
    expect(on.broker(c).published.length).toBe(before + 1)
  }
})

test('workers that start during the move help to drain the old driver, where they are configured with it', async () => {
  await using on = rig()
  on.broker(b)
  const web = on.process(a)
  const ids = await dispatched(on, web, 3)
  const stop = new AbortController()
  const moving = web.errand.transfer.to(b, { by, signal: stop.signal })
  await on.advance(1_000)
  await on.work(on.process(b))
  await on.advance(200)
  expect(on.ran).toEqual([])
  await on.work(on.process(a))
  await on.advance(200)
  expect(on.ran.toSorted()).toEqual(sorted(...ids))
  expect(await drivers(on)).toEqual([[`broker ${b}`], [`broker ${b}`, `broker ${a}`]])
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

test('while the system moves away from a driver that cannot count, no job is said to lack its ticket', async () => {
  await using on = rig()
  on.broker(b)
  const [web, worker] = [on.process('database'), on.process('database')]
  await dispatched(on, web, 20)
  await on.work(worker, { concurrency: 1, run: () => new Promise(() => {}) })
  void web.errand.transfer.to(b, { by }).catch(() => undefined)
  await on.advance(3_000)
  const { findings } = await on.passing(web.errand.doctor())
  expect(findings.map(({ code }) => code)).not.toContain('tickets-missing')
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
  const ids = await dispatched(on, web, 5)
  stop.abort()
  await on.passing(moving)
  expect(await on.passing(web.errand.transfer.cancel({ by }))).toMatchObject({
    phase: 'moved',
    from: `broker ${b}`,
    to: `broker ${a}`,
  })
  expect(await drivers(on)).toEqual([[`broker ${a}`]])
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

test('overdue jobs are taken from the log once the driver in use delivers tickets', async () => {
  await using on = rig()
  on.broker(a)
  const [worker, web] = [on.process('database'), on.process('database')]
  await on.work(worker)
  await on.passing(web.errand.transfer.to(a, { by }))
  on.broker(a).broken = true
  const [id] = await dispatched(on, web, 1)
  await on.advance(60_000)
  expect(on.ran).toEqual([id])
})
