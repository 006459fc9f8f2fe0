import * as fc from 'fast-check'
import { expect } from 'vitest'
import { lanes } from '@errand/core/ports'
import type { JobChange, Lane } from '@errand/core/ports'
import { Command, JobCommand } from './command.ts'
import type { LifecycleRules } from './rules.ts'
import { times, type World } from './world.ts'

const ada = { by: 'ada' } as const

class Cancel extends JobCommand {
  protected async perform(rules: LifecycleRules, world: World): Promise<void> {
    const { job } = this.job(rules)
    const report = await world.log.cancel([job.id], ada)
    const expected = rules.cancel(job.id)
    expect([report.cancelled, report.requested]).toEqual([
      expected === 'cancelled' ? 1 : 0,
      expected === 'requested' ? 1 : 0,
    ])
  }

  override toString(): string {
    return `cancel job ${this.number}`
  }
}

class Replay extends JobCommand {
  protected async perform(rules: LifecycleRules, world: World): Promise<void> {
    const { job } = this.job(rules)
    const report = await world.log.replay([job.id], ada)
    const expected = rules.replay(job.id)
    expect([report.replayed, report.duplicates, report.unmet]).toEqual([
      expected === 'replayed' ? 1 : 0,
      expected === 'duplicate' ? [job.id] : [],
      expected === 'unmet' ? [job.id] : [],
    ])
  }

  override toString(): string {
    return `replay job ${this.number}`
  }
}

class Skip extends JobCommand {
  protected async perform(rules: LifecycleRules, world: World): Promise<void> {
    const { job } = this.job(rules)
    const { skipped } = await world.log.skip([job.id], ada)
    expect(skipped).toBe(rules.skip(job.id) ? 1 : 0)
  }

  override toString(): string {
    return `skip job ${this.number}`
  }
}

interface ChangeTo {
  readonly lane?: Lane
  readonly otherQueue?: boolean
  readonly time?: 'now' | 'far'
}

class Change extends JobCommand {
  readonly #to: ChangeTo

  constructor(number: number, to: ChangeTo) {
    super(number)
    this.#to = to
  }

  protected async perform(rules: LifecycleRules, world: World): Promise<void> {
    const { job } = this.job(rules)
    const { lane, otherQueue, time } = this.#to
    const queue = otherQueue === undefined ? undefined : otherQueue ? world.otherQueue : world.on.queue
    const to: JobChange = {
      lane,
      queue,
      ...(time === undefined ? {} : { runAt: time === 'now' ? 0 : (await world.on.now()) + times.far }),
    }
    const changed = world.log.change(job.id, to, ada)
    const allowed = rules.change(job.id, {
      ...(lane === undefined ? {} : { lane }),
      ...(queue === undefined ? {} : { queue }),
      ...(time === undefined ? {} : { runAt: time === 'now' ? time : rules.now + times.far }),
    })
    if (allowed) expect((await changed).state).toBe(rules.find(job.id)?.state)
    else await expect(changed).rejects.toMatchObject({ code: 'E_NOT_ALLOWED' })
  }

  override toString(): string {
    return `change job ${this.number} to ${JSON.stringify(this.#to)}`
  }
}

class Pause extends Command {
  readonly #paused: boolean

  constructor(paused: boolean) {
    super()
    this.#paused = paused
  }

  protected async perform(rules: LifecycleRules, world: World): Promise<void> {
    const { queue } = world.on
    await (this.#paused ? world.log.pause(queue, ada) : world.log.resume(queue, ada))
    if (this.#paused) rules.paused.add(queue)
    else rules.paused.delete(queue)
  }

  override toString(): string {
    return this.#paused ? 'pause' : 'resume'
  }
}

class Sweep extends Command {
  protected async perform(rules: LifecycleRules, world: World): Promise<void> {
    const report = await world.on.sweep({ limit: 1_000, republish: true })
    const states = new Map((await world.records()).map(({ id, state }) => [id, state]))
    rules.sweep(({ job }) => states.get(job.id) !== 'scheduled')
    const ready = new Set(rules.jobs.filter(({ state }) => state === 'ready').map(({ job }) => job.id))
    for (const { id } of report.tickets) expect(ready.has(id)).toBe(true)
  }

  override toString(): string {
    return 'sweep'
  }
}

class Advance extends Command {
  protected async perform(rules: LifecycleRules, world: World): Promise<void> {
    await world.on.jump(times.step)
    rules.now += times.step
  }

  override toString(): string {
    return `advance ${times.step / 60_000} min`
  }
}

const changeTo: fc.Arbitrary<ChangeTo> = fc.oneof(
  fc.constantFrom(...lanes).map((lane) => ({ lane })),
  fc.constantFrom<ChangeTo>({ time: 'now' }, { time: 'far' }, { otherQueue: true }, { otherQueue: false }),
)

type Weighted = readonly (readonly [weight: number, command: fc.Arbitrary<Command>])[]

/** What operators do, and how often. */
export const operatorCommands: Weighted = [
  [1, fc.nat(50).map((job) => new Cancel(job))],
  [3, fc.nat(50).map((job) => new Replay(job))],
  [3, fc.nat(50).map((job) => new Skip(job))],
  [2, fc.tuple(fc.nat(50), changeTo).map(([job, to]) => new Change(job, to))],
  [1, fc.nat(3).map((number) => new Pause(number === 0))],
]

/** What the relay does. */
export const relayCommands: Weighted = [[8, fc.constant(new Sweep())]]

/** Moves the time, if the log's clock can be moved. */
export const timeCommands: Weighted = [[4, fc.constant(new Advance())]]
