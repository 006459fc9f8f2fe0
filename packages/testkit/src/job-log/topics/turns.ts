import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { laneRank } from '@errand/core/ports'
import type { Claim, ClaimOptions, Lane, NewJob, Ticket, Verdict, WorkerRef } from '@errand/core/ports'
import { outcomes } from '../../fixtures.ts'
import { seeded } from '../../seeded.ts'
import type { JobLogHarness } from '../harness.ts'
import type { Scene } from '../scene.ts'
import { scenes } from '../scenes.ts'

/** `a1`: job 1 of key `a`. One that begins with `-` has no key. */
const job = (label: string, more: Partial<NewJob> = {}): Partial<NewJob> => ({
  tags: [label],
  ...(label.startsWith('-') ? {} : { shareKey: label.slice(0, 1) }),
  ...more,
})
const jobs = (labels: string, more: Partial<NewJob> = {}): Partial<NewJob>[] =>
  labels.split(' ').map((label) => job(label, more))
const labels = (claims: readonly Claim[]): string => claims.map((claim) => claim.job.tags[0]).join(' ')
const started = (verdicts: readonly Verdict[]): Claim[] =>
  verdicts.flatMap((each) => (each.verdict === 'run' ? [each.claim] : []))
const words = (verdicts: readonly Verdict[]): string =>
  verdicts.map((each) => (each.verdict === 'drop' ? each.why : each.verdict)).join(' ')

/** Takes one job at a time until none is left. */
async function drain(on: Scene, worker: WorkerRef): Promise<string> {
  const order: Claim[] = []
  for (let claim; ([claim] = await on.take(worker, 1)) && claim; order.push(claim))
    await on.settle(worker, claim, outcomes.succeed())
  return labels(order)
}

function claimAll(
  on: Scene,
  worker: WorkerRef,
  tickets: readonly Ticket[],
  {
    max = tickets.length,
    request = randomUUID(),
    ...options
  }: ClaimOptions & { max?: number; request?: string } = {},
): Promise<readonly Verdict[]> {
  return on.log.claim(tickets, max, worker, request, options)
}

export function describeTurns(harness: JobLogHarness): void {
  const { scene } = scenes(harness)

  describe('jobs that share take turns', () => {
    it('the only job of a key starts second, though 200 of another wait before it', async () => {
      const on = await scene()
      await on.addAll(Array.from({ length: 200 }, (_, at) => job(`a${at + 1}`)))
      await on.add(job('b1'))
      expect(labels(await on.take(await on.worker(), 3))).toBe('a1 b1 a2')
    })

    it('three keys take turns, each by the age of its jobs, until only one is left', async () => {
      const on = await scene()
      await on.addAll(jobs('a1 a2 a3 a4 b1 b2 c1'))
      expect(await drain(on, await on.worker())).toBe('a1 b1 c1 a2 b2 a3 a4')
    })

    it('it is the same whether they are stored in one call or one by one', async () => {
      const on = await scene()
      for (const each of jobs('a1 a2 a3 b1 b2 c1')) await on.add(each)
      expect(labels(await on.take(await on.worker()))).toBe('a1 b1 c1 a2 b2 a3')
    })

    it('jobs that do not share keep their places between them', async () => {
      const on = await scene()
      await on.addAll(jobs('a1 a2 -1 a3 b1 -2 b2'))
      expect(labels(await on.take(await on.worker()))).toBe('a1 b1 -1 a2 b2 -2 a3')
    })

    it('they keep them also where fewer are taken than wait', async () => {
      const on = await scene()
      await on.addAll(jobs('a1 a2 -1 a3 b1 -2 b2'))
      const worker = await on.worker()
      expect(labels(await on.take(worker, 3))).toBe('a1 b1 -1')
      expect(labels(await on.take(worker, 1))).toBe('a2')
    })

    it('each lane has turns of its own, and the jobs of a higher one start first', async () => {
      const on = await scene()
      await on.addAll([...jobs('a1 a2 b1'), ...jobs('a7 a8 c9', { lane: 'high' })])
      expect(await drain(on, await on.worker())).toBe('a7 c9 a8 a1 b1 a2')
    })

    it('each queue has turns of its own', async () => {
      const on = await scene()
      const other = on.newQueue()
      await on.addAll([...jobs('a1 a2 b1'), ...jobs('a3 a4 b2', { queue: other })])
      const worker = await on.worker({}, [on.queue, other])
      const taken = await on.log.take([on.queue, other], 10, worker, randomUUID())
      expect(labels(taken)).toBe('a1 b1 a2 a3 b2 a4')
    })

    it('jobs of different names share', async () => {
      const on = await scene()
      await on.addAll([
        job('a1', { name: `${on.jobName}.x` }),
        job('a2'),
        job('b1', { name: `${on.jobName}.y` }),
      ])
      expect(labels(await on.take(await on.worker()))).toBe('a1 b1 a2')
    })

    it('a key that comes late begins with the others, and does not catch up', async () => {
      const on = await scene()
      const worker = await on.worker()
      await on.addAll(Array.from({ length: 50 }, (_, at) => job(`a${at + 1}`)))
      for (const claim of await on.take(worker, 30)) await on.settle(worker, claim, outcomes.succeed())
      await on.addAll(jobs('b1 b2 b3'))
      expect(labels(await on.take(worker, 6))).toBe('a31 b1 a32 b2 a33 b3')
    })

    it('a key whose only job has run for long does not catch up either', async () => {
      const on = await scene()
      const worker = await on.worker()
      await on.add(job('b1'))
      await on.take(worker, 1)
      await on.addAll(Array.from({ length: 40 }, (_, at) => job(`a${at + 1}`)))
      for (const claim of await on.take(worker, 30)) await on.settle(worker, claim, outcomes.succeed())
      await on.addAll(jobs('b2 b3'))
      expect(labels(await on.take(worker, 4))).toBe('a31 b2 a32 b3')
    })

    it('a key begins anew where all that is left of the others runs', async () => {
      const on = await scene()
      const worker = await on.worker()
      await on.addAll(jobs('a1 a2 a3 a4'))
      await on.take(worker)
      await on.addAll(jobs('b1 b2 b3 a5'))
      expect(labels(await on.take(worker))).toBe('b1 b2 a5 b3')
    })

    it('jobs that were scheduled take their turns when they are due', async () => {
      const on = await scene()
      await on.addAll(jobs('a1 a2 a3', { due: { delayMs: 50 } }))
      await on.add(job('b1', { due: { delayMs: 50 } }))
      await on.addAll(jobs('c1 c2 c3 c4'))
      await on.sweepUntil(
        async () => (await on.log.queues()).find(({ name }) => name === on.queue)?.ready === 8,
      )
      const keys = (await drain(on, await on.worker())).replaceAll(/\d/g, '')
      expect(keys).toBe('c a b c a c a c')
    })

    it('a job that failed and is tried again stands behind those of its key that wait', async () => {
      const on = await scene()
      const worker = await on.worker()
      await on.addAll(jobs('a1 a2 b1'))
      const [first] = await on.take(worker, 1)
      await on.settle(worker, first!, outcomes.retry(0))
      await on.sweepUntil(async () => (await on.state(first!)) === 'ready')
      expect(await drain(on, worker)).toBe('b1 a2 a1')
    })

    it('a job that was given back unbegun goes first again', async () => {
      const on = await scene()
      const worker = await on.worker()
      await on.addAll(jobs('a1 a2 b1'))
      const [first] = await on.take(worker, 1)
      await on.settle(worker, first!, outcomes.release(false))
      expect(await drain(on, worker)).toBe('a1 b1 a2')
    })

    it('a job whose worker is gone goes first again', async () => {
      const on = await scene()
      const [lost] = await on.addAll(jobs('a1 a2 b1'))
      await on.lose(lost!)
      expect(await drain(on, await on.worker())).toBe('a1 b1 a2')
    })

    it('a job that was blocked takes its turn when its ordering key is free', async () => {
      const on = await scene()
      const worker = await on.worker()
      const ordering = { key: 'k', onFailure: 'skip' } as const
      await on.addAll(jobs('a1 a2', { ordering }))
      await on.addAll(jobs('b1 b2 b3'))
      expect(await drain(on, worker)).toBe('a1 b1 a2 b2 b3')
    })

    it('a key whose jobs become ready one by one does not always go first', async () => {
      const on = await scene()
      const ordering = { key: 'k', onFailure: 'skip' } as const
      await on.addAll(jobs('a1 a2 a3 a4 a5', { ordering }))
      await on.addAll(jobs('b1 b2 b3'))
      expect(await drain(on, await on.worker())).toBe('a1 b1 a2 b2 a3 b3 a4 a5')
    })

    it('a job that is replayed takes a new turn', async () => {
      const on = await scene()
      const worker = await on.worker()
      const [again] = await on.addAll(jobs('a1 a2 a3'))
      await on.settle(worker, (await on.take(worker, 1))[0]!, outcomes.succeed())
      await on.log.replay([again!.id], { by: 'test' })
      await on.add(job('b1'))
      expect(await drain(on, worker)).toBe('a2 b1 a3 a1')
    })

    it('a job that is moved to another lane stands in the line there', async () => {
      const on = await scene()
      const made = await on.addAll([...jobs('a1 a2'), ...jobs('a3 b1 b2', { lane: 'high' })])
      await on.log.change(made[0]!.id, { lane: 'high' }, { by: 'test' })
      expect(await drain(on, await on.worker())).toBe('a3 b1 a1 b2 a2')
    })

    it('overdue jobs take turns as well', async () => {
      const on = await scene()
      await on.addAll(jobs('a1 a2 a3 b1', { publishGraceMs: 0 }))
      const worker = await on.worker()
      await on.pass(5)
      const taken = await on.log.take([on.queue], 2, worker, randomUUID(), { overdue: true })
      expect(labels(taken)).toBe('a1 b1')
    })

    it.skipIf(!harness.capabilities.damage)(
      'a job with a spoilt row is failed when its turn comes, and the next ones start',
      async () => {
        const on = await scene()
        const made = await on.addAll(jobs('a1 a2 b1 c1 c2'))
        const worker = await on.worker()
        await on.damage(made[0]!)
        await on.damage(made[2]!)
        expect(labels(started(await claimAll(on, worker, [on.ticket(made[1]!)])))).toBe('c1')
        expect(await on.states(made)).toEqual(['failed', 'ready', 'failed', 'running', 'ready'])
        await on.damage(made[1]!)
        expect(labels(await on.take(worker, 1))).toBe('c2')
        expect(await on.state(made[1]!)).toBe('failed')
      },
    )

    it('the share key is on record, while it waits and after its end', async () => {
      const on = await scene()
      const made = await on.add(job('a1'))
      expect(await on.record(made)).toMatchObject({ shareKey: 'a' })
      await drain(on, await on.worker())
      expect(await on.record(made)).toMatchObject({ state: 'succeeded', shareKey: 'a' })
      expect((await on.record(await on.add())).shareKey).toBeUndefined()
    })
  })

  describe('tickets of jobs that share', () => {
    it('any of them is a right to the job whose turn it is', async () => {
      const on = await scene()
      const [, , late] = await on.addAll(jobs('a1 a2 a3 b1'))
      const worker = await on.worker()
      const verdicts = await claimAll(on, worker, [on.ticket(late!)])
      expect(labels(started(verdicts))).toBe('a1')
      expect(verdicts[0]!.ticket.id).toBe(late!.id)
    })

    it('as many jobs start as there are tickets, in turn, in whatever order the tickets come', async () => {
      const on = await scene()
      const made = await on.addAll(jobs('a1 a2 a3 a4 a5 b1 b2 c1'))
      const worker = await on.worker()
      const order: Claim[] = []
      for (const each of made.toReversed()) {
        const [claim] = started(await claimAll(on, worker, [on.ticket(each)]))
        order.push(claim!)
        await on.settle(worker, claim!, outcomes.succeed())
      }
      expect(labels(order)).toBe('a1 b1 c1 a2 b2 a3 a4 a5')
    })

    it('many at a time are as many rights', async () => {
      const on = await scene()
      const made = await on.addAll(jobs('a1 a2 a3 b1 b2 -1'))
      const [first, , , , , plain] = made
      const worker = await on.worker()
      const verdicts = await claimAll(
        on,
        worker,
        [made[1]!, made[2]!, plain!].map((each) => on.ticket(each)),
      )
      expect(labels(started(verdicts)).split(' ').toSorted()).toEqual(['-1', 'a1', 'b1'])
      expect(verdicts[2]).toMatchObject({ verdict: 'run', claim: { id: plain!.id } })
      expect(await on.state(first!)).toBe('running')
    })

    it('the ticket of a job that runs, has ended or waits for its time is a right to the next one', async () => {
      const on = await scene()
      const [ran, runs, waits] = await on.addAll(jobs('a1 a2 a3 b1 b2 b3 b4'))
      const worker = await on.worker()
      const claims = await on.take(worker, 5)
      expect(labels(claims)).toBe('a1 b1 a2 b2 a3')
      await on.settle(worker, claims[0]!, outcomes.succeed())
      await on.settle(worker, claims[4]!, outcomes.retry(3_600_000))
      expect(await on.states([ran!, runs!, waits!])).toEqual(['succeeded', 'running', 'scheduled'])
      const tickets = [ran!, runs!, waits!].map((each) => on.ticket(each))
      const verdicts = await claimAll(on, worker, tickets)
      expect(labels(started(verdicts))).toBe('b3 b4')
      expect(words(verdicts)).toBe('run run later')
    })

    it('where no job that shares is left, such a ticket is dropped', async () => {
      const on = await scene()
      const [ran, runs] = await on.addAll(jobs('a1 a2'))
      await on.addAll([{}, {}])
      const worker = await on.worker()
      const [first] = await on.take(worker, 2)
      await on.settle(worker, first!, outcomes.succeed())
      expect(words(await claimAll(on, worker, [on.ticket(ran!), on.ticket(runs!)]))).toBe('finished busy')
    })

    it('the ticket of a job that does not share is a right to nothing else', async () => {
      const on = await scene()
      const plain = await on.ended(outcomes.succeed(), job('-1'))
      await on.addAll(jobs('a1 a2'))
      expect(await on.verdict(await on.worker(), plain)).toBe('finished')
    })

    it('more rights than there is room for are asked for again', async () => {
      const on = await scene()
      const made = await on.addAll(jobs('a1 a2 a3 b1'))
      const worker = await on.worker()
      const tickets = made.map((each) => on.ticket(each))
      const verdicts = await claimAll(on, worker, tickets, { max: 2 })
      expect(labels(started(verdicts)).split(' ').toSorted()).toEqual(['a1', 'b1'])
      expect(words(verdicts).split(' ').toSorted()).toEqual(['again', 'again', 'run', 'run'])
      for (const claim of started(verdicts)) await on.settle(worker, claim, outcomes.succeed())
      const ended = await claimAll(on, worker, tickets, { max: 0 })
      expect(words(ended)).toBe('again again again again')
    })

    it('a lane is granted no more than its share by them', async () => {
      const on = await scene()
      const made = await on.addAll([...jobs('a1 a2 b1', { lane: 'high' }), ...jobs('c1 c2')])
      const worker = await on.worker()
      const tickets = made.map((each) => on.ticket(each))
      const verdicts = await claimAll(on, worker, tickets, { perLane: { high: 1, normal: 2 } })
      expect(labels(started(verdicts)).split(' ').toSorted()).toEqual(['a1', 'c1', 'c2'])
    })

    it('two copies of one ticket are one right', async () => {
      const on = await scene()
      const [first] = await on.addAll(jobs('a1 a2 b1'))
      const verdicts = await claimAll(on, await on.worker(), [on.ticket(first!), on.ticket(first!)])
      expect(words(verdicts)).toBe('run busy')
    })

    it('a request whose answer was lost answers the same claims, whichever tickets they came by', async () => {
      const on = await scene()
      const made = await on.addAll(jobs('a1 a2 a3 a4 b1 c1'))
      const worker = await on.worker()
      const request = randomUUID()
      const tickets = [made[1]!, made[2]!, made[3]!].map((each) => on.ticket(each))
      const first = await claimAll(on, worker, tickets, { request })
      expect(labels(started(first)).split(' ').toSorted()).toEqual(['a1', 'b1', 'c1'])
      const again = await claimAll(on, worker, tickets, { request })
      const ids = (verdicts: readonly Verdict[]): string[] =>
        started(verdicts).map(({ id, run }) => `${id} ${run}`)
      expect(ids(again).toSorted()).toEqual(ids(first).toSorted())
      expect(await on.states(made)).toEqual(['running', 'ready', 'ready', 'ready', 'running', 'running'])
    })

    it('in a paused queue, or one that the worker does not serve, they are rights to nothing', async () => {
      const on = await scene()
      const [ran, waits] = await on.addAll(jobs('a1 a2 b1'))
      const worker = await on.worker()
      const [claim] = await on.take(worker, 1)
      await on.settle(worker, claim!, outcomes.succeed())
      const tickets = [ran!, waits!].map((each) => on.ticket(each))
      const elsewhere = await on.worker({}, [on.newQueue()])
      expect(words(await claimAll(on, elsewhere, tickets))).toBe('finished elsewhere')
      await on.log.pause(on.queue, { by: 'test' })
      expect(words(await claimAll(on, worker, tickets))).toBe('finished paused')
      await on.log.resume(on.queue, { by: 'test' })
      expect(
        labels(started(await claimAll(on, worker, tickets)))
          .split(' ')
          .toSorted(),
      ).toEqual(['a2', 'b1'])
    })

    it('grants in two batches of one long call are told apart when it is repeated', async () => {
      const on = await scene()
      const made = await on.addAll(Array.from({ length: 700 }, (_, at) => job(`${'abcdefg'[at % 7]}${at}`)))
      const worker = await on.worker()
      const request = randomUUID()
      const tickets = made.toReversed().map((each) => on.ticket(each))
      const first = await claimAll(on, worker, tickets, { request, max: 600 })
      const again = await claimAll(on, worker, tickets, { request, max: 600 })
      const ids = (verdicts: readonly Verdict[]): string[] => started(verdicts).map(({ id }) => id)
      expect(ids(first)).toHaveLength(600)
      expect(ids(again)).toHaveLength(600)
      expect(new Set(ids(again))).toEqual(new Set(ids(first)))
    })
  })

  describe('turns by chance', () => {
    it.each([1, 2, 3, 4, 5, 6])('a fleet grants what a small model grants (seed %i)', async (seed) => {
      const on = await scene()
      await live(on, await on.worker(), seeded(seed))
    })
  })
}

interface Modelled {
  readonly label: string
  readonly key: string | undefined
  readonly lane: Lane
  readonly made: NewJob
  turn: number
  state: 'ready' | 'running' | 'over'
}

/** The rules in short: who is next, and which turn a job gets. */
class Model {
  readonly all: Modelled[] = []

  append(made: NewJob): void {
    const added: Modelled = {
      label: made.tags[0]!,
      key: made.shareKey,
      lane: made.lane,
      made,
      turn: 0,
      state: 'ready',
    }
    added.turn = this.#turnOf(added)
    this.all.push(added)
  }

  #turnOf({ key, lane }: Modelled): number {
    const line = this.all.filter(
      (each) => each.key !== undefined && each.lane === lane && each.state !== 'over',
    )
    const ready = line.filter(({ state }) => state === 'ready').map(({ turn }) => turn)
    const current = ready.length > 0 ? Math.min(...ready) : Math.max(0, ...line.map(({ turn }) => turn))
    return Math.max(current, ...line.filter((each) => each.key === key).map(({ turn }) => turn + 1))
  }

  release(given: Modelled): void {
    const line = this.#line(given.lane)
    if (line[0]) given.turn = Math.max(given.turn, line[0].turn)
    given.state = 'ready'
  }

  #line(lane: Lane): Modelled[] {
    return this.all
      .filter((each) => each.key !== undefined && each.lane === lane && each.state === 'ready')
      .toSorted((a, b) => a.turn - b.turn || this.all.indexOf(a) - this.all.indexOf(b))
  }

  take(count: number): Modelled[] {
    const places = this.all
      .filter(({ state }) => state === 'ready')
      .toSorted((a, b) => laneRank[a.lane] - laneRank[b.lane] || this.all.indexOf(a) - this.all.indexOf(b))
      .slice(0, count)
    const lines = new Map(places.map(({ lane }) => [lane, this.#line(lane).values()]))
    const taken = places.map((place) =>
      place.key === undefined ? place : lines.get(place.lane)!.next().value!,
    )
    for (const each of taken) each.state = 'running'
    return taken
  }

  claim({ key, lane, state, label }: Modelled): string | undefined {
    const next =
      key === undefined
        ? this.all.find((each) => each.label === label && state === 'ready')
        : this.#line(lane)[0]
    if (next) next.state = 'running'
    return next?.label
  }
}

async function live(on: Scene, worker: WorkerRef, random: () => number): Promise<void> {
  const model = new Model()
  const pick = <T>(from: readonly T[]): T | undefined => from[Math.floor(random() * from.length)]
  const running = new Map<string, Claim>()
  const begin = (claims: readonly Claim[]): void =>
    claims.forEach((claim) => running.set(claim.job.tags[0]!, claim))
  for (let step = 0; step < 70; step += 1) {
    const act = random()
    if (act < 0.35) {
      const key = pick(['a', 'a', 'a', 'b', 'c', '-'])!
      const lane = pick(['normal', 'normal', 'high'] as const)!
      const count = 1 + Math.floor(random() * 4)
      const made = Array.from({ length: count }, (_, at) => job(`${key}${step}.${at}`, { lane }))
      for (const each of await on.addAll(made)) model.append(each)
    } else if (act < 0.55) {
      const count = 1 + Math.floor(random() * 3)
      const claims = await on.take(worker, count)
      expect(labels(claims)).toBe(
        model
          .take(count)
          .map(({ label }) => label)
          .join(' '),
      )
      begin(claims)
    } else if (act < 0.75) {
      const of = pick(model.all)
      if (!of) continue
      const claims = started(await claimAll(on, worker, [on.ticket(of.made)]))
      expect(labels(claims)).toBe(model.claim(of) ?? '')
      begin(claims)
    } else {
      const label = pick([...running.keys()])
      if (label === undefined) continue
      const ended = model.all.find((each) => each.label === label)!
      const isReleased = random() < 0.3
      await on.settle(worker, running.get(label)!, isReleased ? outcomes.release(false) : outcomes.succeed())
      running.delete(label)
      if (isReleased) model.release(ended)
      else ended.state = 'over'
    }
  }
}
