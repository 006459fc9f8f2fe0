import { randomUUID } from 'node:crypto'
import * as fc from 'fast-check'
import { expect } from 'vitest'
import { lanes } from '@errand/core/ports'
import type { NeedMode, NewJob } from '@errand/core/ports'
import { Command, pickFrom } from './command.ts'
import type { LifecycleRules } from './rules.ts'
import { times, type World } from './world.ts'

class Append extends Command {
  readonly #job: Partial<NewJob>
  /** Uses the id of an earlier job instead of a new one: a repeated dispatch. */
  readonly #repeats: number | undefined
  /** Which earlier jobs it needs. */
  readonly #needs: readonly (readonly [number: number, mode: NeedMode])[]

  constructor(
    job: Partial<NewJob>,
    repeats: number | undefined,
    needs: readonly (readonly [number: number, mode: NeedMode])[] = [],
  ) {
    super()
    this.#job = job
    this.#repeats = repeats
    this.#needs = needs
  }

  protected async perform(rules: LifecycleRules, world: World): Promise<void> {
    const earlier =
      this.#repeats === undefined || rules.jobs.length === 0 ? undefined : pickFrom(rules.jobs, this.#repeats)
    const needs = rules.jobs.length === 0 ? [] : this.#needs
    const job = world.on.newJob({
      ...this.#job,
      id: earlier?.job.id ?? randomUUID(),
      ...(needs.length === 0
        ? {}
        : { needs: needs.map(([number, mode]) => ({ on: pickFrom(rules.jobs, number).job.id, mode })) }),
    })
    const [answer] = await world.log.append([job])
    const expected = rules.append(job)
    expect(answer).toMatchObject(expected)
    if (answer?.status === 'added')
      expect(answer.ticket?.id).toBe(expected.state === 'ready' ? job.id : undefined)
  }

  override toString(): string {
    return `append ${JSON.stringify({ ...this.#job, repeats: this.#repeats, needs: this.#needs })}`
  }
}

const ordering = fc.record({ key: fc.constantFrom('a', 'b'), onFailure: fc.constantFrom('block', 'skip') })
const unique = fc.record(
  {
    key: fc.constantFrom('u', 'v'),
    until: fc.constantFrom('finished', 'started'),
    forMs: fc.constant(times.uniqueFor),
  },
  { requiredKeys: ['key', 'until'] },
)
const sometimes = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(value, { nil: undefined })

const job: fc.Arbitrary<Partial<NewJob>> = fc.record({
  lane: fc.constantFrom(...lanes),
  ordering: sometimes(ordering) as fc.Arbitrary<NewJob['ordering']>,
  unique: sometimes(unique) as fc.Arbitrary<NewJob['unique']>,
  due: fc.oneof(
    { weight: 3, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: fc.record({ delayMs: fc.constantFrom(0, times.delay, times.far) }) },
  ),
  onCrash: fc.constantFrom('retry', 'retry', 'retry', 'fail'),
  maxCrashes: fc.integer({ min: 1, max: 4 }),
  timeoutMs: fc.constantFrom(null, times.timeout, times.far),
})

const modes = ['succeeded', 'succeeded', 'ended', 'unsuccessful'] as const
const needs = fc.array(fc.tuple(fc.nat(50), fc.constantFrom(...modes)), { minLength: 1, maxLength: 3 })

/** What dispatchers do, and how often. */
export const dispatcherCommands: readonly (readonly [weight: number, command: fc.Arbitrary<Command>])[] = [
  [7, job.map((made) => new Append(made, undefined))],
  [4, fc.tuple(job, fc.constant(undefined), needs).map((parts) => new Append(...parts))],
  [1, fc.tuple(job, fc.nat(50)).map((parts) => new Append(...parts))],
]
