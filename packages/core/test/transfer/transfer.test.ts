import { expect, test } from 'vitest'
import type { TransferStatus } from '../../src/index.ts'
import { a, b, by, sortIds, dispatchJobs, waitUntilSettled, listDrivers } from './moves.ts'
import { job, otherJob, rig } from './rig.ts'

test.each([
  { from: a, to: b },
  { from: a, to: 'database' },
  { from: 'database', to: a },
])('jobs in flight from $from to $to: each runs once, and nothing is left behind', async ({ from, to }) => {
  await using on = rig()
  on.broker(to)
  const [one, two, web] = [on.process(from), on.process(from), on.process(from)]
  const before = await dispatchJobs(on, web, 40, [job, otherJob])
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
  const [place] = (await listDrivers(on))[0] ?? []
  expect(await listDrivers(on)).toEqual([[place], [place]])
  expect(place).toContain(to)
  expect(on.broker(from).open).toBe(0)
  const after = await dispatchJobs(on, web, 6, [job, otherJob])
  await waitUntilSettled(on)
  expect(on.ran.toSorted()).toEqual([...before, ...during, ...after].toSorted())
})

test('workers that wait for jobs move as well, and start what is dispatched at the new driver at once', async () => {
  await using on = rig()
  on.broker(b)
  const [idle, web] = [on.process(a), on.process(a)]
  await on.work(idle)
  await on.advance(1_000)
  await on.passing(web.errand.transfer.to(b, { by }))
  const [id] = await dispatchJobs(on, web, 1)
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
  const [atNew] = await dispatchJobs(on, web, 1)
  const [atOld] = await dispatchJobs(on, late, 1)
  await on.advance(200)
  expect(on.broker(a).published).toEqual([atOld])
  expect(on.broker(b).published).toEqual([atNew])
  expect(on.ran.toSorted()).toEqual(sortIds(atNew, atOld))
  stop.abort()
  await on.passing(moving)
})

test('a process that only dispatches learns of a move within seconds; an idle one before its first ticket', async () => {
  await using on = rig()
  on.broker(b)
  const [worker, web, idle, operator] = [on.process(a), on.process(a), on.process(a), on.process(a)]
  await on.work(worker)
  await dispatchJobs(on, web, 1)
  await dispatchJobs(on, idle, 1)
  await on.advance(6_000)
  await on.passing(operator.errand.transfer.to(b, { by }))
  const old = on.broker(a).published.length
  on.lookMs = 100
  await dispatchJobs(on, idle, 1)
  await dispatchJobs(on, web, 3)
  expect(on.broker(a).published.length).toBe(old)
  expect(on.broker(b).published.length).toBe(4)
  await on.advance(6_000)
  // A log that does not answer this question delays nobody.
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
  await dispatchJobs(on, web, 1)
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
  const ids = await dispatchJobs(on, web, 3)
  const status = await on.passing(web.errand.transfer.to(b, { by }))
  expect(status).toMatchObject({ phase: 'moved', left: [{ queue: 'q', messages: 3, why: 'paused' }] })
  await on.passing(web.errand.queues.resume('q', by))
  await on.advance(3_000)
  expect(on.ran.toSorted()).toEqual(ids.toSorted())
})

test('a ready job whose ticket nobody has fetched has a new one before the old driver is left', async () => {
  await using on = rig()
  on.broker(b)
  const web = on.process(a)
  const ids = await dispatchJobs(on, web, 3)
  // No worker serves the old driver, so nobody would ever drain it.
  expect(await on.passing(web.errand.transfer.to(b, { by }))).toMatchObject({
    phase: 'moved',
    left: [{ queue: 'q', messages: 3, why: 'unserved' }],
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
  const ids = await dispatchJobs(on, web, 3)
  const moving = web.errand.transfer.to(b, { by })
  await on.advance(2_000)
  const [during] = await dispatchJobs(on, web, 1)
  await on.advance(500)
  expect(on.ran).toContain(during)
  expect(await on.passing(moving)).toMatchObject({
    phase: 'moved',
    left: ['other', 'q'].map((queue) => ({ queue, why: 'unreachable' })),
  })
  await waitUntilSettled(on)
  expect(on.ran.toSorted()).toEqual(sortIds(...ids, during))
})

test('while the system moves away from a driver that cannot count, no job is said to lack its ticket', async () => {
  await using on = rig()
  on.broker(b)
  const [web, worker] = [on.process('database'), on.process('database')]
  await dispatchJobs(on, web, 20)
  await on.work(worker, { concurrency: 1, run: () => new Promise(() => {}) })
  void web.errand.transfer.to(b, { by }).catch(() => undefined)
  await on.advance(3_000)
  const { findings } = await on.passing(web.errand.doctor())
  expect(findings.map(({ code }) => code)).not.toContain('tickets-missing')
})

test('overdue jobs are taken from the log once the driver in use delivers tickets', async () => {
  await using on = rig()
  on.broker(a)
  const [worker, web] = [on.process('database'), on.process('database')]
  await on.work(worker)
  await on.passing(web.errand.transfer.to(a, { by }))
  on.broker(a).broken = true
  const [id] = await dispatchJobs(on, web, 1)
  await on.advance(60_000)
  expect(on.ran).toEqual([id])
})
