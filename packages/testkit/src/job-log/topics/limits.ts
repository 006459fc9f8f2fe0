import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { JobLog, LimitState, LimitValues, NewJob, Ticket } from '@errand/core/ports'
import { outcomes, recorded, settlement } from '../../fixtures.ts'
import type { JobLogHarness } from '../harness.ts'
import type { Scene } from '../scene.ts'
import { scenes } from '../scenes.ts'
import { describeLimitsByChance } from './limits-by-chance.ts'

const hourMs = 3_600_000
const ada = { by: 'ada' }

const state = (values: LimitValues | undefined): LimitState => ({ values, body: '{"by":"test"}' })

/** A limit of one scene. */
interface Declared {
  readonly name: string
  /** A job of the limit. */
  readonly of: (key?: string, more?: Partial<NewJob>) => Partial<NewJob>
  /** Changes its values, and returns the tickets of jobs that may go now. */
  readonly change: (values: LimitValues | undefined) => Promise<readonly Ticket[]>
}

export function describeLimits(harness: JobLogHarness): void {
  const { scene } = scenes(harness)
  const { advance, transactions } = harness.capabilities

  const newName = (): string => `limit-${randomBytes(5).toString('hex')}`
  const revision = async (log: JobLog, name: string): Promise<number> =>
    (await log.readLimits([name])).limits[0]?.revision ?? 0

  const use = (on: Scene, name = newName()): Declared => ({
    name,
    of: (key = '', more = {}) => ({ limit: { name, key }, ...more }),
    change: async (values) => {
      const after = await revision(on.log, name)
      const { saved, tickets } = await on.log.saveLimits([{ name, after, to: values && state(values) }])
      expect(saved).toEqual([true])
      return tickets
    },
  })
  const declare = async (on: Scene, values: LimitValues): Promise<Declared> => {
    const limit = use(on)
    await limit.change(values)
    return limit
  }
  const names = (jobs: readonly NewJob[], tickets: readonly Ticket[]): number[] =>
    tickets.map(({ id }) => jobs.findIndex((job) => job.id === id)).toSorted((a, b) => a - b)

  describe('limits', () => {
    it('never more jobs than its total are ready or running, and the end of one lets the next go', async () => {
      const on = await scene()
      const limit = await declare(on, { total: 2 })
      const jobs = [1, 2, 3, 4].map(() => on.newJob(limit.of()))
      const appended = await on.log.append(jobs)
      expect(
        appended.map((answer) => answer.status === 'added' && [answer.state, answer.ticket?.id]),
      ).toEqual([
        ['ready', jobs[0]!.id],
        ['ready', jobs[1]!.id],
        ['blocked', undefined],
        ['blocked', undefined],
      ])
      const worker = await on.worker()
      const [first, second, ...others] = await on.take(worker)
      expect(others).toEqual([])
      expect((await on.settle(worker, second!, outcomes.succeed())).tickets).toEqual([on.ticket(jobs[2]!)])
      const [third] = await on.take(worker)
      const settled = recorded(
        await on.log.settle(
          [first!, third!].map((claim) => settlement(claim, outcomes.succeed())),
          worker,
        ),
      )
      expect(settled.flatMap(({ tickets }) => tickets)).toEqual([on.ticket(jobs[3]!)])
      await on.finish(worker, jobs[3]!)
      expect(await on.story(jobs[0]!)).toEqual(['dispatched', 'unblocked', 'started', 'succeeded'])
      expect(await on.story(jobs[3]!)).toEqual(['dispatched', 'unblocked', 'started', 'succeeded'])
      expect((await on.events(jobs[3]!))[0]).toMatchObject({
        state: 'blocked',
        data: { limit: limit.name, limitKey: '' },
      })
    })

    it('a key that is full holds up no other, and the limit in all holds up all', async () => {
      const on = await scene()
      const limit = await declare(on, { total: 3, perKey: 2 })
      const jobs = await on.addAll(['a', 'a', 'a'].map((key) => limit.of(key)))
      jobs.push(...(await on.addAll(['b', 'c'].map((key) => limit.of(key)))))
      expect(await on.states(jobs)).toEqual(['ready', 'ready', 'blocked', 'ready', 'blocked'])
      const worker = await on.worker()
      // The key that has had nothing yet comes first.
      expect((await on.finish(worker, jobs[0]!)).tickets).toEqual([on.ticket(jobs[4]!)])
      expect((await on.finish(worker, jobs[3]!)).tickets).toEqual([on.ticket(jobs[2]!)])
      await on.finish(worker, jobs[1]!)
      await on.finish(worker, jobs[2]!)
      await on.finish(worker, jobs[4]!)
    })

    it('the only job of a small tenant comes second, though two hundred of another were first', async () => {
      const on = await scene()
      const limit = await declare(on, { total: 1 })
      const many = await on.addAll(Array.from({ length: 200 }, () => limit.of('large')))
      const only = await on.add(limit.of('small'))
      const worker = await on.worker()
      expect((await on.finish(worker, many[0]!)).tickets).toEqual([on.ticket(only)])
      expect((await on.finish(worker, only)).tickets).toEqual([on.ticket(many[1]!)])
    })

    it('keys take turns: nobody is let go twice while another one waits for its first', async () => {
      const on = await scene()
      const limit = await declare(on, { total: 2 })
      const keys = ['a', 'a', 'a', 'a', 'b', 'b', 'c', 'c']
      const jobs = await on.addAll(keys.map((key) => limit.of(key)))
      const worker = await on.worker()
      const turns: string[] = []
      for (;;) {
        const claims = await on.take(worker)
        if (claims.length === 0) break
        const ofKeys = claims.map(({ id }) => keys[jobs.findIndex((job) => job.id === id)])
        turns.push(ofKeys.map(String).toSorted().join(''))
        await on.log.settle(
          claims.map((claim) => settlement(claim, outcomes.succeed())),
          worker,
        )
      }
      expect(turns).toEqual(['ab', 'ac', 'bc', 'aa'])
    })

    it('within a key higher lanes go first, then older jobs', async () => {
      const on = await scene()
      const limit = await declare(on, { total: 1 })
      const [first, older, newer] = await on.addAll([limit.of(), limit.of(), limit.of()])
      const high = await on.add(limit.of('', { lane: 'high' }))
      const worker = await on.worker()
      expect((await on.finish(worker, first!)).tickets).toEqual([on.ticket(high)])
      expect((await on.finish(worker, high)).tickets).toEqual([on.ticket(older!)])
      expect((await on.finish(worker, older!)).tickets).toEqual([on.ticket(newer!)])
      await on.finish(worker, newer!)
    })

    it('jobs wait for a limit that nobody has declared, and go once it is; removed, they wait again', async () => {
      const on = await scene()
      const limit = use(on)
      const jobs = await on.addAll([limit.of('a'), limit.of('b')])
      expect(await on.states(jobs)).toEqual(['blocked', 'blocked'])
      expect((await on.log.readLimits([limit.name])).limits).toMatchObject([
        { name: limit.name, revision: 0, values: undefined, ready: 0, running: 0, waiting: 2 },
      ])
      expect(names(jobs, await limit.change({ total: 1 }))).toEqual([0])
      await limit.change(undefined)
      const worker = await on.worker()
      expect((await on.finish(worker, jobs[0]!)).tickets).toEqual([])
      expect(names(jobs, await limit.change({ total: 1 }))).toEqual([1])
      await on.finish(worker, jobs[1]!)
      expect((await on.log.readLimits([limit.name])).limits).toMatchObject([
        { ready: 0, running: 0, waiting: 0 },
      ])
      await limit.change(undefined)
      expect((await on.log.readLimits([limit.name])).limits).toEqual([])
    })

    it('a job that waits for its retry gives its place up, and passes the limit again', async () => {
      const on = await scene()
      const limit = await declare(on, { total: 1 })
      const [first, second, third] = await on.addAll([limit.of(), limit.of(), limit.of()])
      const worker = await on.worker()
      const again = await on.claim(worker, first!)
      expect((await on.settle(worker, again, outcomes.retry(0))).tickets).toEqual([on.ticket(second!)])
      await on.sweepUntil(async () => (await on.state(first!)) === 'blocked')
      const snoozed = await on.claim(worker, second!)
      // It is older than the third.
      expect((await on.settle(worker, snoozed, outcomes.snooze(hourMs))).tickets).toEqual([on.ticket(first!)])
      expect((await on.finish(worker, first!)).tickets).toEqual([on.ticket(third!)])
      expect(await on.story(first!)).toEqual([
        'dispatched',
        'unblocked',
        'started',
        'errored',
        'due',
        'unblocked',
        'started',
        'succeeded',
      ])
      await on.finish(worker, third!)
    })

    it('a run that is given back or lost for the first time keeps its place', async () => {
      const on = await scene()
      const limit = await declare(on, { total: 1 })
      const [first, second] = await on.addAll([limit.of(), limit.of()])
      const worker = await on.worker()
      const claim = await on.claim(worker, first!)
      expect((await on.settle(worker, claim, outcomes.release(true))).tickets).toEqual([on.ticket(first!)])
      await on.lose(first!)
      expect(await on.states([first!, second!])).toEqual(['ready', 'blocked'])
      // Lost again, it waits for a while, and the next one may go.
      await on.lose(first!)
      expect(await on.states([first!, second!])).toEqual(['scheduled', 'ready'])
      await on.finish(worker, second!)
    })

    it('a delayed job takes no place before it is due', async () => {
      const on = await scene()
      const limit = await declare(on, { total: 1 })
      const [delayed, other] = await on.addAll([limit.of('', { due: { delayMs: 20 } }), limit.of()])
      expect(await on.states([delayed!, other!])).toEqual(['scheduled', 'ready'])
      await on.sweepUntil(async () => (await on.state(delayed!)) === 'blocked')
      expect((await on.finish(await on.worker(), other!)).tickets).toEqual([on.ticket(delayed!)])
      expect(await on.story(delayed!)).toEqual(['dispatched', 'due', 'unblocked'])
      const [due] = await on.addAll([limit.of('free', { due: { delayMs: 20 } })])
      await on.finish(await on.worker(), delayed!)
      const { tickets } = await on.sweepUntil(async () => (await on.state(due!)) === 'ready')
      expect(tickets).toEqual([on.ticket(due!)])
    })

    it('a job waits for its ordering key first, and then for its limit, and holds up no other key', async () => {
      const on = await scene()
      const limit = await declare(on, { total: 1 })
      const ordering = { key: newName(), onFailure: 'skip' } as const
      const [holder, behind, other] = await on.addAll([
        { ordering },
        limit.of('', { ordering }),
        limit.of('other'),
      ])
      expect(await on.states([holder!, behind!, other!])).toEqual(['ready', 'blocked', 'ready'])
      const worker = await on.worker()
      const { tickets, pending } = await on.finish(worker, holder!)
      const passed = pending ? await on.log.passNotes(100) : []
      expect([...tickets, ...passed]).toEqual([])
      expect(await on.state(behind!)).toBe('blocked')
      expect((await on.finish(worker, other!)).tickets).toEqual([on.ticket(behind!)])
      expect(await on.story(behind!)).toEqual(['dispatched', 'unblocked'])
      await on.finish(worker, behind!)
    })

    it('the end of an ordering key’s holder lets its successor go where its limit has room', async () => {
      const on = await scene()
      const limit = await declare(on, { total: 1 })
      const ordering = { key: newName(), onFailure: 'skip' } as const
      const [holder, behind] = await on.addAll([limit.of('', { ordering }), limit.of('', { ordering })])
      const { tickets, pending } = await on.finish(await on.worker(), holder!)
      const passed = pending ? await on.log.passNotes(100) : []
      expect([...tickets, ...passed].map(({ id }) => id)).toEqual([behind!.id])
      await on.finish(await on.worker(), behind!)
    })

    it('as many as its burst go at once, and then one each time', async () => {
      const on = await scene()
      const limit = await declare(on, { rate: { everyMs: 200, burst: 2 } })
      const jobs = await on.addAll([1, 2, 3, 4].map(() => limit.of()))
      expect(await on.states(jobs)).toEqual(['ready', 'ready', 'blocked', 'blocked'])
      const worker = await on.worker()
      const since = await on.now()
      await on.finish(worker, jobs[0]!)
      await on.finish(worker, jobs[1]!)
      const { tickets } = await on.sweepUntil(async () => (await on.state(jobs[2]!)) === 'ready')
      expect(tickets).toContainEqual(on.ticket(jobs[2]!))
      expect((await on.now()) - since).toBeGreaterThan(100)
      await on.finish(worker, jobs[2]!)
      await on.sweepUntil(async () => (await on.state(jobs[3]!)) === 'ready')
      await on.finish(worker, jobs[3]!)
    })

    it('each key has its rate, and an early look lets nothing go', async () => {
      const on = await scene()
      const limit = await declare(on, { keyRate: { everyMs: hourMs, burst: 1 } })
      const jobs = await on.addAll(['a', 'a', 'b'].map((key) => limit.of(key)))
      expect(await on.states(jobs)).toEqual(['ready', 'blocked', 'ready'])
      const worker = await on.worker()
      expect((await on.finish(worker, jobs[0]!)).tickets).toEqual([])
      await on.sweep()
      expect(await on.state(jobs[1]!)).toBe('blocked')
      await on.log.cancel([jobs[1]!.id], ada)
    })

    it.runIf(advance)('an outage does not pile up what was let go and has not started', async () => {
      const on = await scene()
      const limit = await declare(on, { rate: { everyMs: 100, burst: 2 } })
      const jobs = await on.addAll(Array.from({ length: 10 }, () => limit.of()))
      await on.jump(hourMs)
      await on.sweep()
      expect((await on.states(jobs)).filter((each) => each === 'ready')).toHaveLength(2)
      const worker = await on.worker()
      for (const { id } of await on.take(worker)) await on.log.cancel([id], ada)
      await on.jump(hourMs)
      await on.sweep()
      expect((await on.states(jobs)).filter((each) => each === 'ready')).toHaveLength(2)
      await on.log.cancel(
        jobs.map(({ id }) => id),
        ada,
      )
    })

    it('the sweep tells when a limit may let more go', async () => {
      const on = await scene()
      const limit = await declare(on, { rate: { everyMs: 5_000, burst: 1 } })
      const jobs = await on.addAll([limit.of(), limit.of()])
      await on.finish(await on.worker(), jobs[0]!)
      const { nextDueInMs } = await on.sweep()
      expect(nextDueInMs).toBeGreaterThan(0)
      expect(nextDueInMs).toBeLessThanOrEqual(5_000)
      await on.log.cancel([jobs[1]!.id], ada)
    })

    it('nothing of a closed key goes, other keys do, and opened it goes on', async () => {
      const on = await scene()
      const limit = await declare(on, { perKey: 5 })
      const { name } = limit
      expect(await on.log.closeLimit({ name, key: 'a' }, hourMs, ada)).toEqual({ found: true, tickets: [] })
      const jobs = await on.addAll(['a', 'b'].map((key) => limit.of(key)))
      expect(await on.states(jobs)).toEqual(['blocked', 'ready'])
      // A shorter time does not open it earlier, and does not say that it was somebody else.
      await on.log.closeLimit({ name, key: 'a' }, 1, { by: 'bob' })
      await on.pass(5)
      await on.sweep()
      expect(await on.state(jobs[0]!)).toBe('blocked')
      const now = await on.now()
      const [key] = await on.log.readLimitKeys(name, { key: 'a', limit: 10 })
      expect(key).toMatchObject({ key: 'a', ready: 0, running: 0, waiting: 1 })
      expect(key!.closed).toMatchObject(ada)
      expect(key!.closed!.until - now).toBeGreaterThan(hourMs / 2)
      expect(await on.log.readLimitKeys(name, { limit: 10 })).toHaveLength(2)
      expect(await on.log.readLimitKeys(name, { closed: true, limit: 10 })).toEqual([key])
      const { tickets } = await on.log.closeLimit({ name, key: 'a' }, 0, ada)
      expect(tickets).toEqual([on.ticket(jobs[0]!)])
      const worker = await on.worker()
      await on.finish(worker, jobs[0]!)
      await on.finish(worker, jobs[1]!)
    })

    it('a handler closes the key of its job for a time, and then it opens by itself', async () => {
      const on = await scene()
      const limit = await declare(on, { perKey: 1 })
      const [first, second] = await on.addAll([limit.of('a'), limit.of('a')])
      const worker = await on.worker()
      const claim = await on.claim(worker, first!)
      expect(await on.log.closeLimit({ job: first!.id }, 60, ada)).toEqual({ found: true, tickets: [] })
      expect((await on.settle(worker, claim, outcomes.succeed())).tickets).toEqual([])
      const { tickets } = await on.sweepUntil(async () => (await on.state(second!)) === 'ready')
      expect(tickets).toEqual([on.ticket(second!)])
      await on.finish(worker, second!)
      const plain = await on.add()
      expect(await on.log.closeLimit({ job: plain.id }, 60, ada)).toEqual({ found: false, tickets: [] })
      expect(await on.log.closeLimit({ job: '00000000-0000-4000-8000-000000000000' }, 60, ada)).toMatchObject(
        {
          found: false,
        },
      )
    })

    it('the job of a limit without keys closes the limit, and whoever opens the limit ends that', async () => {
      const on = await scene()
      const { name, of } = await declare(on, { total: 2 })
      const [first, second] = await on.addAll([of(), of()])
      await on.log.closeLimit({ name }, hourMs, ada)
      await on.log.closeLimit({ job: first!.id }, 60, { by: 'a handler' })
      expect((await on.log.readLimits([name])).limits).toMatchObject([{ closed: ada }])
      await on.log.closeLimit({ name }, 0, ada)
      await on.log.closeLimit({ job: first!.id }, hourMs, { by: 'a handler' })
      expect((await on.log.readLimits([name])).limits).toMatchObject([{ closed: { by: 'a handler' } }])
      const third = await on.add(of())
      await on.finish(await on.worker(), first!)
      expect(await on.state(third)).toBe('blocked')
      expect((await on.log.closeLimit({ name }, 0, ada)).tickets).toEqual([on.ticket(third)])
      await on.finish(await on.worker(), second!)
      await on.finish(await on.worker(), third)
    })

    it('a limit that is closed as a whole lets nothing go', async () => {
      const on = await scene()
      const limit = await declare(on, { total: 5 })
      await on.log.closeLimit({ name: limit.name }, 40, ada)
      const jobs = await on.addAll([limit.of('a'), limit.of('b')])
      expect(await on.states(jobs)).toEqual(['blocked', 'blocked'])
      await on.sweepUntil(async () => (await on.states(jobs)).every((each) => each === 'ready'))
      for (const job of jobs) await on.finish(await on.worker(), job)
    })

    it('a lower limit stops nobody who runs, and a higher one lets more go at once', async () => {
      const on = await scene()
      const limit = await declare(on, { total: 3 })
      const jobs = await on.addAll([1, 2, 3, 4, 5].map(() => limit.of()))
      const worker = await on.worker()
      const claims = await on.take(worker)
      expect(claims).toHaveLength(3)
      expect(await limit.change({ total: 1 })).toEqual([])
      expect((await on.settle(worker, claims[0]!, outcomes.succeed())).tickets).toEqual([])
      expect((await on.settle(worker, claims[1]!, outcomes.succeed())).tickets).toEqual([])
      expect((await on.settle(worker, claims[2]!, outcomes.succeed())).tickets).toEqual([on.ticket(jobs[3]!)])
      expect(names(jobs, await limit.change({}))).toEqual([4])
      await on.finish(worker, jobs[3]!)
      await on.finish(worker, jobs[4]!)
    })

    it('only who knows a limit as it stands may change it', async () => {
      const on = await scene()
      const limit = await declare(on, { total: 1 })
      const known = await revision(on.log, limit.name)
      const change = async (after: number): Promise<readonly boolean[]> =>
        (await on.log.saveLimits([{ name: limit.name, after, to: state({ total: 2 }) }])).saved
      expect(await change(0)).toEqual([false])
      expect(await change(known + 1)).toEqual([false])
      expect(await change(known)).toEqual([true])
      expect((await on.log.readLimits([limit.name])).limits).toEqual([
        {
          name: limit.name,
          revision: known + 1,
          values: { total: 2 },
          body: '{"by":"test"}',
          ready: 0,
          running: 0,
          waiting: 0,
          closed: undefined,
        },
      ])
    })

    it('a rate is kept as it was given', async () => {
      const on = await scene()
      const values = {
        total: 50,
        perKey: 5,
        rate: { everyMs: 0.125, burst: 4_000 },
        keyRate: { everyMs: 600.5, burst: 20 },
      }
      const limit = await declare(on, values)
      expect((await on.log.readLimits([limit.name])).limits).toMatchObject([{ values }])
      expect((await on.log.readLimits()).limits.map(({ name }) => name)).toContain(limit.name)
      await limit.change(undefined)
    })

    it('a job that is cancelled before it started gives its place up', async () => {
      const on = await scene()
      const limit = await declare(on, { total: 1 })
      const jobs = await on.addAll([limit.of(), limit.of(), limit.of()])
      expect((await on.log.cancel([jobs[1]!.id], ada)).tickets).toEqual([])
      expect((await on.log.cancel([jobs[0]!.id], ada)).tickets).toEqual([on.ticket(jobs[2]!)])
      await on.finish(await on.worker(), jobs[2]!)
    })

    it('a replayed job passes the limit again', async () => {
      const on = await scene()
      const limit = await declare(on, { total: 1 })
      const old = await on.ended(outcomes.fail(), limit.of())
      const [running, waiting] = await on.addAll([limit.of(), limit.of()])
      expect(await on.log.replay([old.id], ada)).toEqual({
        replayed: 1,
        duplicates: [],
        unmet: [],
        tickets: [],
      })
      expect(await on.state(old)).toBe('blocked')
      const worker = await on.worker()
      expect((await on.finish(worker, running!)).tickets).toEqual([on.ticket(old)])
      expect((await on.finish(worker, old)).tickets).toEqual([on.ticket(waiting!)])
      await on.finish(worker, waiting!)
      expect((await on.log.replay([old.id], ada)).tickets).toEqual([on.ticket(old)])
      await on.finish(worker, old)
    })

    it('a job that is put off gives its place up, and one that is made due passes its limit', async () => {
      const on = await scene()
      const limit = await declare(on, { total: 1 })
      const [first, second] = await on.addAll([limit.of(), limit.of()])
      await on.log.change(first!.id, { runAt: (await on.now()) + hourMs }, ada)
      expect(await on.states([first!, second!])).toEqual(['scheduled', 'ready'])
      expect(await on.log.change(first!.id, { runAt: 0 }, ada)).toEqual({
        state: 'blocked',
        ticket: undefined,
      })
      // It has passed its limit already.
      expect(await on.log.change(second!.id, { runAt: 0 }, ada)).toMatchObject({ state: 'ready' })
      const worker = await on.worker()
      expect((await on.finish(worker, second!)).tickets).toEqual([on.ticket(first!)])
      await on.log.change(first!.id, { runAt: (await on.now()) + hourMs }, ada)
      expect(await on.log.change(first!.id, { runAt: 0 }, ada)).toEqual({
        state: 'ready',
        ticket: on.ticket(first!),
      })
      await on.finish(worker, first!)
    })

    it('nothing of a paused queue is let go, and other queues of the limit go on', async () => {
      const on = await scene()
      const limit = await declare(on, { total: 1 })
      const other = on.newQueue()
      const [running, paused, free] = await on.addAll([
        limit.of(),
        limit.of(),
        limit.of('', { queue: other }),
      ])
      const worker = await on.worker()
      const claim = await on.claim(worker, running!)
      await on.log.pause(on.queue, ada)
      expect((await on.settle(worker, claim, outcomes.succeed())).tickets).toEqual([on.ticket(free!)])
      expect(await on.states([paused!, free!])).toEqual(['blocked', 'ready'])
      await on.log.cancel([free!.id], ada)
      expect(await on.state(paused!)).toBe('blocked')
      await on.log.resume(on.queue, ada)
      await on.sweepUntil(async () => (await on.state(paused!)) === 'ready')
      await on.finish(worker, paused!)
    })

    it('two limits do not know each other', async () => {
      const on = await scene()
      const one = await declare(on, { total: 1 })
      const two = await declare(on, { total: 1 })
      const jobs = await on.addAll([one.of('a'), two.of('a'), one.of('a'), two.of('a')])
      expect(await on.states(jobs)).toEqual(['ready', 'ready', 'blocked', 'blocked'])
      expect((await on.finish(await on.worker(), jobs[1]!)).tickets).toEqual([on.ticket(jobs[3]!)])
      await on.log.cancel(
        jobs.map(({ id }) => id),
        ada,
      )
    })

    it('settling and taking in one call takes what the outcomes let go', async () => {
      const on = await scene()
      const limit = await declare(on, { total: 1 })
      const jobs = await on.addAll([limit.of(), limit.of()])
      const worker = await on.worker()
      const [claim] = await on.take(worker)
      if (!on.log.settleAndTake) return
      const { settled, claims } = await on.log.settleAndTake(
        [settlement(claim!, outcomes.succeed())],
        [on.queue],
        10,
        worker,
        crypto.randomUUID(),
      )
      expect(settled).toMatchObject([{ result: 'settled' }])
      expect(claims.map(({ id }) => id)).toEqual([jobs[1]!.id])
      await on.settle(worker, claims[0]!, outcomes.succeed())
    })

    it.runIf(transactions !== 'none')(
      'a dispatch in a transaction waits for its limit once it has committed',
      async () => {
        const on = await scene()
        const limit = await declare(on, { total: 1 })
        const open = await on.begin()
        const job = on.newJob(limit.of('a', { publishGraceMs: 0 }))
        const appending = on.log.append([job], { tx: open.tx })
        expect(await appending).toMatchObject([{ status: 'added' }])
        await open.commit()
        await on.sweepUntil(async () => (await on.state(job)) === 'ready')
        const other = await on.begin()
        const gone = on.newJob(limit.of('b'))
        await on.log.append([gone], { tx: other.tx })
        await other.rollback()
        await on.sweep()
        expect(await on.state(gone)).toBeUndefined()
        await on.finish(await on.worker(), job)
      },
    )

    it.runIf(transactions !== 'none')(
      'a completion in a transaction lets the next go once it has committed',
      async () => {
        const on = await scene()
        const limit = await declare(on, { total: 1 })
        const [first, second] = await on.addAll([limit.of(), limit.of()])
        const worker = await on.worker()
        const claim = await on.claim(worker, first!)
        const open = await on.begin()
        await on.log.complete(claim, undefined, worker, open.tx)
        await open.commit()
        // The worker offers its outcome again, and is told if there is something to pass on.
        const { pending } = await on.settle(worker, claim, outcomes.completed())
        if (pending) expect(await on.log.passNotes(100)).toEqual([on.ticket(second!)])
        expect(await on.state(second!)).toBe('ready')
        await on.finish(worker, second!)
      },
    )
  })

  describeLimitsByChance(harness)
}
