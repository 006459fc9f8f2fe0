import { isErrandError } from '@errand/core'
import { engineLog } from '@errand/core/engine'
import { ErrandError, TopicBus } from '@errand/core/ports'
import type { JobStore } from '@errand/core/engine'
import type { JobLog, LogFactory, Topic, Verdict } from '@errand/core/ports'
import { quietLogger } from '@errand/testkit'
import type { Faults } from './faults.ts'
import type { LimitWatch } from './limit-watch.ts'
import type { SimulatedProcess } from './process.ts'
import type { ScheduleStory } from './schedule-story.ts'
import type { Rows } from './store.ts'
import type { World } from './world.ts'

type Call = (...given: never[]) => Promise<unknown>

/** How long after its error a call may still be done, like a statement whose connection is gone. */
const latestMs = 5_000
const slowestMs = 6_000

/** Who sees what becomes of the rows. */
export interface LogWatchers {
  readonly story: ScheduleStory
  readonly limits: LimitWatch | undefined
  /** Is called with a job that was set aside because of its row: that must never happen here. */
  readonly aside: (text: string) => void
}

/**
 * The database: the engine of core on a store. Transactions run one at a time, and each begins after some time. The network
 * to it delays, loses and repeats only what a real one may.
 */
export class LogServer {
  /** For the checks: answers at once, and without faults. */
  readonly direct: JobLog
  /** How far its clock is ahead of the true time. */
  aheadMs = 0
  readonly #rows: Rows
  readonly #story: ScheduleStory
  readonly #limits: LimitWatch | undefined
  readonly #aside: (text: string) => void
  readonly #world: World
  readonly #faults: Faults
  readonly #engine: JobLog
  readonly #bus = new TopicBus()
  #lateCalls = 0
  #isDown = false
  #wentDown = new AbortController()

  constructor(world: World, faults: Faults, rows: Rows, { story, limits, aside }: LogWatchers) {
    this.#rows = rows
    this.#story = story
    this.#limits = limits
    this.#aside = aside
    this.#world = world
    this.#faults = faults
    this.#engine = this.#open(() => this.#turn())
    this.direct = this.#open(() => Promise.resolve())
  }

  get store(): JobStore {
    return this.#rows.store
  }

  now(): number {
    return Math.floor(this.#world.nowMs + this.aheadMs)
  }

  /** True if no call is on its way that its sender has given up. */
  get isIdle(): boolean {
    return this.#lateCalls === 0
  }

  down(): void {
    this.#isDown = true
    this.#wentDown.abort()
  }

  up(): void {
    if (this.#isDown) this.#wentDown = new AbortController()
    this.#isDown = false
  }

  /** The log as one process sees it. */
  connection(process: SimulatedProcess): LogFactory {
    return { errand: 'job-log', name: 'simulated', open: () => this.#client(process) }
  }

  #open(turn: () => Promise<void>): JobLog {
    const run = async <T>(rules: (store: JobStore, now: number) => T): Promise<T> => {
      await turn()
      const result = this.#rows.transact((store) => rules(store, this.now()))
      this.#limits?.look(this.store, this.now())
      return result
    }
    return engineLog({
      name: 'simulated',
      logger: { ...quietLogger, error: (facts) => this.#aside(JSON.stringify(facts)) },
      write: run,
      read: run,
      inside: (_tx, rules) => run(rules),
      connect: () =>
        run((store) => {
          const { logId, epoch, transfer } = store.facts()
          return { logId, epoch, schemaVersion: 1, transfer }
        }),
      migrate: async () => ({ from: 1, to: 1 }),
      notify: async (topics) => this.#bus.notify(topics),
      wakeups: (topics, signal) => this.#bus.listen(topics, signal),
      diagnose: async () => ({ findings: [] }),
      close: async () => undefined,
    })
  }

  /** Waits for the transactions that come first. */
  #turn(): Promise<void> {
    const { chance } = this.#world
    return new Promise((resolve) => this.#world.at(chance.between(0, 3), resolve))
  }

  #client(process: SimulatedProcess): JobLog {
    const engine = { ...this.#engine, ...this.#schedules(process) }
    const calls = Object.entries(engine).map(([name, call]: [string, unknown]) => [
      name,
      typeof call === 'function'
        ? (...given: never[]) => this.#call(process, name, () => (call as Call)(...given), given)
        : call,
    ])
    return {
      ...(Object.fromEntries(calls) as unknown as JobLog),
      wakeups: (topics, signal) => this.#wakeups(process, topics, signal),
      close: async () => undefined,
    }
  }

  /** The schedules of the log as one process reads and writes them. */
  #schedules(process: SimulatedProcess): Pick<JobLog, 'readSchedules' | 'saveSchedules'> {
    const engine = this.#engine
    const readSchedules: JobLog['readSchedules'] = async (names, tx) => {
      const answer = await engine.readSchedules(names, tx)
      this.#story.read(process, names, answer)
      return answer
    }
    const saveSchedules: JobLog['saveSchedules'] = async (changes, tx) => {
      const answers = await engine.saveSchedules(changes, tx)
      this.#story.saved(process, changes, answers, this.store, this.now())
      return answers
    }
    return { readSchedules, saveSchedules }
  }

  #call(
    process: SimulatedProcess,
    name: string,
    carryOut: () => Promise<unknown>,
    given: readonly unknown[],
  ): Promise<unknown> {
    const world = this.#world
    const { chance } = world
    const travel = (): number => chance.delay(this.#faults.rates.logIsSlow, slowestMs)
    return new Promise((resolve, reject) => {
      const answer = (error: Error | undefined, value?: unknown): void => {
        world.at(travel(), () =>
          process.enter(() => {
            const text = error === undefined ? 'answered' : readCode(error)
            if (!process.reaches(`log.${name}: ${text}`, () => shown(value))) return
            if (name === 'claim' && value !== undefined) noteDecided(process, value as readonly Verdict[])
            if (error === undefined) resolve(value)
            else reject(error)
          }),
        )
      }
      if (!process.reaches(`log.${name}`, () => shown(given))) return
      const { rates } = this.#faults
      const isRefused = chance.happens(rates.logRefuses)
      const losesReply = chance.happens(rates.logLosesReply)
      const isLate = chance.happens(rates.logIsLate)
      world.at(travel(), () => {
        if (this.#isDown || isRefused) return answer(unreachable())
        if (isLate) {
          answer(unreachable())
          // Its sender may be dead by then.
          this.#lateCalls += 1
          world.at(chance.between(0, latestMs), () => {
            this.#lateCalls -= 1
            world.note('log', `${name} of ${process.name} is carried out late`)
            carryOut().catch(() => undefined)
          })
          return
        }
        carryOut().then(
          (value) => (losesReply ? answer(unreachable()) : answer(undefined, value)),
          (error: Error) => answer(error),
        )
      })
    })
  }

  async *#wakeups(
    process: SimulatedProcess,
    topics: readonly Topic[],
    signal: AbortSignal,
  ): AsyncGenerator<Topic | 'started', void> {
    const world = this.#world
    const arrived: (Topic | 'started')[] = []
    let isLost = false
    let wake: () => void = () => undefined
    const enter = (change: () => void): void => {
      world.at(world.chance.between(0, 5), () =>
        process.enter(() => {
          change()
          wake()
        }),
      )
    }
    const ended = AbortSignal.any([signal, this.#wentDown.signal])
    const listen = async (): Promise<void> => {
      for await (const topic of this.#bus.listen(topics, ended)) {
        const lost = topic !== 'started' && world.chance.happens(this.#faults.rates.wakeupIsLost)
        if (!lost) enter(() => arrived.push(topic))
      }
      enter(() => (isLost = !signal.aborted))
    }
    if (this.#isDown) enter(() => (isLost = true))
    else void listen()
    const stop = (): void => wake()
    signal.addEventListener('abort', stop)
    try {
      while (!signal.aborted) {
        const topic = arrived.shift()
        if (topic !== undefined) yield topic
        else if (isLost) throw unreachable()
        else await new Promise<void>((resolve) => (wake = resolve))
      }
    } finally {
      signal.removeEventListener('abort', stop)
    }
  }
}

function unreachable(): ErrandError {
  return new ErrandError('E_LOG_UNREACHABLE', 'the simulated network has lost it')
}

function readCode(error: unknown): string {
  return isErrandError(error) ? error.code : String(error)
}

/** The log has decided on these tickets, so the process may ack or release them. */
function noteDecided(process: SimulatedProcess, verdicts: readonly Verdict[]): void {
  for (const { verdict, ticket } of verdicts) if (verdict !== 'again') process.decided.add(ticket)
}

/** A call or an answer in one line of the trace. */
function shown(value: unknown): string {
  const text = JSON.stringify(value, (key, each: unknown) =>
    ['payload', 'job', 'meta', 'tags', 'host', 'pid', 'body'].includes(key) ? undefined : each,
  )
  return text === undefined ? '' : text.slice(0, 600)
}
