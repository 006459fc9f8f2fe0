import { randomUUID } from 'node:crypto'
import * as fc from 'fast-check'
import { expect } from 'vitest'
import type { SettledOutcome, WorkerRef } from '@errand/core/ports'
import { outcomes } from '../fixtures.ts'
import { Command, JobCommand, pickFrom } from './command.ts'
import type { LifecycleRules } from './rules.ts'
import { times, type World } from './world.ts'

/** Returns true if the worker may be granted nothing, and checks that the log then refuses it. */
async function refused(rules: LifecycleRules, worker: WorkerRef, ask: Promise<unknown>): Promise<boolean> {
  if (rules.hasLease(worker.id)) return false
  await expect(ask).rejects.toMatchObject({ code: 'E_LEASE_OUT' })
  return true
}

class Claim extends JobCommand {
  readonly #worker: number
  readonly #copies: number
  readonly #repeat: boolean

  constructor(number: number, worker: number, copies: number, repeat: boolean) {
    super(number)
    this.#worker = worker
    this.#copies = copies
    this.#repeat = repeat
  }

  protected async perform(rules: LifecycleRules, world: World): Promise<void> {
    const worker = pickFrom(world.workers, this.#worker)
    const last = this.#repeat ? world.requests.get(worker.id) : undefined
    const request = last?.request ?? randomUUID()
    const ids = last?.ids ?? [
      ...Array.from({ length: this.#copies }, () => this.job(rules).job.id),
      pickFrom(rules.jobs, this.number + 1).job.id,
    ]
    const tickets = ids.map((id) => world.on.ticket({ id }))
    const asked = world.log.claim(tickets, this.#copies, worker, request)
    if (await refused(rules, worker, asked)) return
    world.requests.set(worker.id, { request, ids })
    const granted = new Set<string>()
    for (const verdict of await asked) {
      const { id } = verdict.ticket
      const expected = rules.verdict(id, worker.id, request, granted, this.#copies)
      expect(verdict.verdict === 'drop' ? verdict.why : verdict.verdict).toBe(expected)
      if (verdict.verdict !== 'run') continue
      granted.add(id)
      const job = rules.find(id)!
      if (job.state === 'ready') rules.start(job, worker.id, request)
      expect([verdict.claim.run, verdict.claim.attempt, verdict.claim.crashes]).toEqual([
        job.run,
        job.attempt,
        job.crashes,
      ])
      world.grants.push({ id, run: verdict.claim.run, worker })
    }
  }

  override toString(): string {
    return `claim job ${this.number} ×${this.#copies} by worker ${this.#worker}${this.#repeat ? ', asked again' : ''}`
  }
}

class Take extends Command {
  readonly #worker: number
  readonly #max: number
  readonly #fromLowest: number

  constructor(worker: number, max: number, fromLowest: number) {
    super()
    this.#worker = worker
    this.#max = max
    this.#fromLowest = fromLowest
  }

  protected async perform(rules: LifecycleRules, world: World): Promise<void> {
    const worker = pickFrom(world.workers, this.#worker)
    const request = randomUUID()
    const ask = () =>
      world.log.take([world.on.queue], this.#max, worker, request, { fromLowest: this.#fromLowest })
    const asked = ask()
    if (await refused(rules, worker, asked)) return
    const claims = await asked
    const expected = rules.pick(world.on.queue, this.#max, this.#fromLowest)
    for (const job of expected) rules.start(job, worker.id, request)
    expect(claims.map(({ id, run }) => [id, run])).toEqual(expected.map(({ job, run }) => [job.id, run]))
    if (claims.length > 0) world.requests.set(worker.id, { request, ids: claims.map(({ id }) => id) })
    world.grants.push(...claims.map(({ id, run }) => ({ id, run, worker })))
    if (claims.length === 0) return
    const again = await ask()
    expect(again.map(({ id }) => id).toSorted()).toEqual(
      rules
        .grantedTo(worker.id, request)
        .map(({ job }) => job.id)
        .toSorted(),
    )
  }

  override toString(): string {
    return `worker ${this.#worker} takes ${this.#max}, ${this.#fromLowest} from the lowest lane`
  }
}

/** Which grant is settled: `held`, a current one; `old`, any so far, most of them over; `stolen`, a current one by another worker. */
type Which = 'held' | 'old' | 'stolen'

class Settle extends Command {
  readonly #number: number
  readonly #which: Which
  readonly #outcome: SettledOutcome

  constructor(number: number, which: Which, outcome: SettledOutcome) {
    super()
    this.#number = number
    this.#which = which
    this.#outcome = outcome
  }

  override check(rules: LifecycleRules): boolean {
    return rules.jobs.some(({ state, run }) => (this.#which === 'old' ? run > 0 : state === 'running'))
  }

  protected async perform(rules: LifecycleRules, world: World): Promise<void> {
    const held = world.grants.filter(({ id, run }) => {
      const job = rules.find(id)
      return job?.state === 'running' && job.run === run
    })
    const { id, run, worker } = pickFrom(this.#which === 'old' ? world.grants : held, this.#number)
    const by = this.#which === 'stolen' ? pickFrom(world.workers, world.workers.indexOf(worker) + 1) : worker
    const settled = await world.on.settle(by, { id, run }, this.#outcome)
    const expected = rules.settle(id, run, by.id, this.#outcome)
    expect(settled.result).toBe(expected)
    const job = rules.find(id)!
    if (expected === 'claim-lost') expect([settled.event, settled.state]).toEqual(['fenced', job.state])
    else expect(settled.event).toBe(job.endings.get(run)?.event)
  }

  override toString(): string {
    return `settle a grant (${this.#which}, ${this.#number}) as ${JSON.stringify(this.#outcome)}`
  }
}

type Serves = 'both' | 'one' | 'none'

class Beat extends Command {
  readonly #worker: number
  readonly #serves: Serves

  constructor(worker: number, serves: Serves) {
    super()
    this.#worker = worker
    this.#serves = serves
  }

  protected async perform(rules: LifecycleRules, world: World): Promise<void> {
    const worker = pickFrom(world.workers, this.#worker)
    const queues = { both: [world.on.queue, world.otherQueue], one: [world.on.queue], none: [] }[this.#serves]
    const reply = await world.on.beat(worker, { queues })
    const held = rules.beat(worker.id, worker.leaseMs, worker.graceMs, queues)
    const byId = (a: { id: string }, b: { id: string }) => a.id.localeCompare(b.id)
    expect(
      reply.claims.map(({ id, run, cancel }) => ({ id, run, cancel: cancel !== undefined })).toSorted(byId),
    ).toEqual(
      held.map(({ job, run, cancelling }) => ({ id: job.id, run, cancel: cancelling })).toSorted(byId),
    )
    expect(reply.paused.includes(world.on.queue)).toBe(rules.paused.has(world.on.queue))
  }

  override toString(): string {
    return `worker ${this.#worker} beats, serving ${this.#serves}`
  }
}

class Die extends Command {
  readonly #worker: number

  constructor(worker: number) {
    super()
    this.#worker = worker
  }

  protected async perform(rules: LifecycleRules, world: World): Promise<void> {
    const worker = pickFrom(world.workers, this.#worker)
    await world.log.leave(worker)
    rules.workers.delete(worker.id)
  }

  override toString(): string {
    return `worker ${this.#worker} is gone`
  }
}

const outcome: fc.Arbitrary<SettledOutcome> = fc.oneof(
  { weight: 4, arbitrary: fc.constant(outcomes.succeed()) },
  { weight: 3, arbitrary: fc.constantFrom(0, times.delay, times.far).map((delay) => outcomes.retry(delay)) },
  { weight: 2, arbitrary: fc.constant(outcomes.exhaust()) },
  { weight: 1, arbitrary: fc.constant(outcomes.fail()) },
  { weight: 2, arbitrary: fc.constantFrom(0, times.delay).map((delay) => outcomes.snooze(delay)) },
  { weight: 1, arbitrary: fc.constant(outcomes.park(0)) },
  { weight: 2, arbitrary: fc.boolean().map((begun) => outcomes.release(begun)) },
  { weight: 1, arbitrary: fc.constant(outcomes.cancel()) },
  { weight: 1, arbitrary: fc.constantFrom(undefined, 0).map((retry) => outcomes.completed(retry)) },
)

const worker: fc.Arbitrary<number> = fc.nat(2)

/** What workers do, and what happens to them, and how often. */
export const workerCommands: readonly (readonly [weight: number, command: fc.Arbitrary<Command>])[] = [
  [
    3,
    fc
      .tuple(fc.nat(50), worker, fc.integer({ min: 1, max: 2 }), fc.nat(5))
      .map(([job, by, copies, repeat]) => new Claim(job, by, copies, repeat === 0)),
  ],
  [4, fc.tuple(worker, fc.integer({ min: 1, max: 4 }), fc.nat(2)).map((parts) => new Take(...parts))],
  [6, fc.tuple(fc.nat(50), fc.constant<Which>('held'), outcome).map((parts) => new Settle(...parts))],
  [
    2,
    fc
      .tuple(fc.nat(50), fc.constantFrom<Which[]>('old', 'old', 'stolen'), outcome)
      .map((parts) => new Settle(...parts)),
  ],
  [
    3,
    fc
      .tuple(worker, fc.constantFrom<Serves[]>('both', 'both', 'both', 'one', 'none'))
      .map((parts) => new Beat(...parts)),
  ],
  [3, worker.map((gone) => new Die(gone))],
]
