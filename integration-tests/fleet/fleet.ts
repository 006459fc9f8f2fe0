// A fleet of real processes on a place: workers, and a dispatcher that dispatches all the time.
//
//   const fleet = await startFleet(place, { finally: atTheEnd })   // four workers, one dispatcher that still waits
//   await fleet.begin()                          // the dispatcher dispatches jobs of every kind from here on
//   fleet.workers[0].signal('SIGKILL')           // a fault
//   await fleet.recovers('…', 8_000, look)       // a figure, and a violation of I8 when it is late
//   await fleet.endsWell()                       // dispatching pauses, every job ends, I1–I8 hold, four workers again
//
// It reads only what has happened since it began, and forgets what it has checked: so a fleet can run for long.
import { expect } from 'vitest'
import { isErrandError } from '@errand/core'
import type { Errand } from '@errand/core'
import type { JobLog, JobRecord } from '@errand/core/ports'
import { checkProcesses, describeViolations, scaleLimit, until } from '@errand/testkit'
import type { LedgerLine, Recovery } from '@errand/testkit'
import { createEffects } from './app/effects.ts'
import { LedgerTail } from './app/ledger.ts'
import type { plans } from './app/plans.ts'
import { checkSince, takeMark } from './check.ts'
import type { Checked, Mark } from './check.ts'
import { afterReturnMs, leaseMs } from './limits.ts'
import { allEnded, pause } from './looks.ts'
import { startMember } from './member.ts'
import type { Member, MemberOptions } from './member.ts'
import { memoryLimitBytes, sampleEveryMs, watchMemory } from './memory.ts'
import type { Place } from './place.ts'
import { allTake, everyWorkerRuns, startsByTicket } from './recovery.ts'
import { sceneOn } from './scene.ts'
import type { Finally } from './scene.ts'

type Env = Readonly<Record<string, string>>

/** If the new ticket of an overdue job is lost too, the job is overdue again half a minute later. */
const allEndWithinMs = 90_000
/** Ends only waits that hang: a slow machine may take long. */
const patienceMs = (jobs: number): number => 60_000 + 500 * jobs

export interface FleetOptions {
  readonly finally: Finally
  /** Default: four. */
  readonly workers?: number | undefined
  /** Slots of each worker. Default: ten. */
  readonly slots?: number | undefined
  /** What its dispatchers dispatch. Default: mixed. */
  readonly jobs?: keyof typeof plans | undefined
  /** The environment of all its processes, over that of the place; and that of its dispatchers, over both. */
  readonly env?: Env | undefined
  readonly dispatcherEnv?: Env | undefined
  /** What else must be true when its workers take jobs. */
  readonly isTaking?: (() => Promise<boolean>) | undefined
  /** `takesAgain` waits until each worker has run a job. Default: true. */
  readonly eachRuns?: boolean | undefined
  /** Called for each process that has ended; `good`: it ended as it should. */
  readonly ended?: ((member: Member, good: boolean) => void) | undefined
}

export interface StartOptions extends Pick<MemberOptions, 'execArgv' | 'through' | 'expects'> {
  /** Default: a worker. */
  readonly program?: 'worker' | 'dispatcher' | undefined
  /** Its environment, over that of the fleet. */
  readonly env?: Env | undefined
}

/** A recovery, and the fault before it, if the fleet was told of one. */
export type Recovered = Recovery & { readonly fault: string }

/** Starts it; dispatching is paused until it begins. The place's log is migrated first. */
export async function startFleet(place: Place, options: FleetOptions): Promise<Fleet> {
  const scene = await sceneOn(place.log, place.folder, {
    driver: place.driver,
    publishGraceMs: 2_000,
    finally: options.finally,
  })
  await createEffects(place.log)
  const fleet = new Fleet(place, scene, options)
  await fleet.boot()
  return fleet
}

export class Fleet {
  readonly place: Place
  /** The test's own instance, which uses no proxy. */
  readonly errand: Errand
  readonly log: JobLog
  readonly ledger: string
  /** A worker that has ended is replaced when `endsWell` is called. */
  readonly workers: Member[] = []
  dispatcher!: Member
  /** The fault that the next recoveries belong to. */
  fault = ''
  /** Recoveries since the fleet began. */
  recoveries: Recovered[] = []
  /** Violations of I8, and others that are not in the history, as text. */
  readonly violations: string[] = []
  /** Ids of all jobs whose dispatch was answered since the fleet began, in that order. */
  dispatched: string[] = []
  /** The longest time that a dispatch has taken so far. */
  slowestDispatchMs = 0
  readonly #options: FleetOptions
  readonly #tail: LedgerTail
  readonly #watch = watchMemory(sampleEveryMs)
  readonly #slots: number
  #members: { readonly member: Member; readonly env: Env }[] = []
  #lines: LedgerLine[] = []
  #since!: Mark
  #count = { started: 0, dispatched: 0, ended: 0, pauses: 0 }

  constructor(place: Place, scene: Pick<Fleet, 'errand' | 'log' | 'ledger'>, options: FleetOptions) {
    this.place = place
    this.errand = scene.errand
    this.log = scene.log
    this.ledger = scene.ledger
    this.#options = options
    this.#slots = options.slots ?? 10
    this.#tail = new LedgerTail(scene.ledger)
    options.finally(() => this.#watch.stop())
  }

  async boot(): Promise<void> {
    const { workers: count = 4 } = this.#options
    this.#since = await takeMark(this.log)
    const [dispatcher, ...workers] = await Promise.all([
      this.start({ program: 'dispatcher', env: { PAUSED: 'true' } }),
      ...Array.from({ length: count }, () => this.start()),
    ])
    this.dispatcher = dispatcher
    this.workers.push(...workers)
  }

  /** Starts one more process, which ends when the fleet rests. */
  async start({ program = 'worker', env: own, ...options }: StartOptions = {}): Promise<Member> {
    const env = {
      SQS_FAULTS: 'true',
      LEDGER: this.ledger,
      LEASE_MS: String(leaseMs),
      GRACE_MS: '2000',
      PUBLISH_GRACE_MS: '2000',
      CONCURRENCY: String(this.#slots),
      JOBS: this.#options.jobs ?? 'mixed',
      ...this.place.env,
      ...this.#options.env,
      ...(program === 'dispatcher' ? this.#options.dispatcherEnv : {}),
      ...own,
    }
    const member = await startMember(program, env, {
      ...options,
      name: `${program} ${(this.#count.started += 1)}`,
      finally: this.#options.finally,
      watch: (pid) => this.#watch.of(pid),
      line: (line) => this.#hear(line),
    })
    this.#members.push({ member, env })
    void this.#untilEnded(member)
    return member
  }

  /** Starts a process in the place of one that ends or has ended. */
  async replace(member: Member): Promise<void> {
    if (member === this.dispatcher) this.dispatcher = await this.start({ program: 'dispatcher' })
    else this.workers[this.workers.indexOf(member)] = await this.start()
  }

  /** Sends a line to every process of the fleet. */
  tell(line: string): void {
    for (const member of this.#living()) member.tell(line)
  }

  /** What handlers have noted since the fleet began. */
  ledgerLines(): readonly LedgerLine[] {
    for (const line of this.#tail.read()) {
      this.#lines.push(line)
      if (line.mark === 'ended') this.#count.ended += 1
    }
    return this.#lines
  }

  /** Starts dispatching. Everything that happens from here on is checked together. */
  async begin(): Promise<void> {
    this.recoveries = []
    this.#since = await takeMark(this.log)
    this.resume()
    await this.goesOn(10)
  }

  resume(): void {
    this.dispatcher.tell('resume')
  }

  /** Waits until this many more jobs have ended. */
  async goesOn(jobs = 20): Promise<void> {
    const ended = (): number => (this.ledgerLines(), this.#count.ended)
    const enough = ended() + jobs
    await until(() => ended() >= enough, { what: 'work goes on', withinMs: patienceMs(jobs), pause })
  }

  /** Waits until this many more have been dispatched. */
  async dispatchGoesOn(jobs = 20): Promise<void> {
    const enough = this.#count.dispatched + jobs
    const within = { what: 'dispatch goes on', withinMs: patienceMs(jobs), pause }
    await until(() => this.#count.dispatched >= enough, within)
  }

  /** Waits until it is true, and notes how long that took. If it is late, that is a violation of I8. `sinceMs`: the fault's end. */
  async recovers(
    what: string,
    limitMs: number,
    look: () => Promise<boolean> | boolean,
    sinceMs = performance.now(),
  ): Promise<void> {
    const note = (ms: number | undefined): void => {
      const recovery = { what, ms, limitMs, fault: this.fault }
      this.recoveries.push(recovery)
      const here = { ...recovery, limitMs: scaleLimit(limitMs) }
      this.violations.push(...texts(checkProcesses([], [here]), this.fault))
    }
    try {
      // The fault affects the test's own connections too: if the test cannot look, nothing has recovered.
      await until(() => whileAway(look), { what, withinMs: 3 * limitMs, pause })
    } catch (error) {
      note(undefined)
      throw await this.#stillLive(error)
    }
    note(performance.now() - sinceMs)
  }

  /** True if every worker says that it takes jobs, and a job is started, by its ticket if there are tickets. */
  async isTaking(): Promise<boolean> {
    const workers = this.#living().filter(({ program }) => program === 'worker')
    if (!(await allTake(this.errand, workers.length))) return false
    return (await startsByTicket(this)) && ((await this.#options.isTaking?.()) ?? true)
  }

  /** Waits for the same within 10 s, and then until each worker has run a job. */
  async takesAgain(): Promise<void> {
    await this.recovers('every worker takes jobs, and a job starts', afterReturnMs, () => this.isTaking())
    if (this.#options.eachRuns !== false) await this.everyWorkerRuns()
  }

  async everyWorkerRuns(): Promise<void> {
    const serving = this.#members.filter(
      ({ member, env }) => member.ended === undefined && !('QUEUES' in env) && member.program === 'worker',
    )
    const { errand, log } = this
    await everyWorkerRuns({ errand, log, workers: serving.map(({ member }) => member.id) }, this.#slots)
  }

  /** Jobs that this worker runs. */
  async heldBy(worker: string): Promise<readonly JobRecord[]> {
    return (await this.log.list({ state: 'running' }, { limit: 500 })).filter((job) => job.worker === worker)
  }

  /** Stops dispatching, and waits until every job has ended and only the fleet's own processes are left. */
  async rest(): Promise<void> {
    const before = this.#count.pauses
    const extra = this.#living().filter(
      (member) => member !== this.dispatcher && !this.workers.includes(member),
    )
    this.dispatcher.tell('pause')
    await stop(extra.filter(({ program }) => program === 'dispatcher'))
    await until(() => this.#count.pauses > before, {
      what: 'dispatching has paused',
      withinMs: 60_000,
      pause,
    })
    await this.#allEnded()
    await stop(extra.filter(({ program }) => program === 'worker'))
  }

  /** Rests, and checks everything since it began or since the last check: I1–I8. */
  async check(): Promise<Checked> {
    await this.rest()
    const [answered, ledger] = [this.dispatched, this.ledgerLines()]
    this.dispatched = []
    this.#lines = []
    const checked = await checkSince(this.log, this.#since, { url: this.place.log, answered, ledger })
    this.#since = await takeMark(this.log)
    const violations = [...checked.violations, ...this.#living().flatMap((member) => this.#judge(member))]
    this.#members = this.#members.filter(({ member }) => member.ended === undefined)
    return { ...checked, violations: [...this.violations.splice(0), ...violations] }
  }

  /** Expects that every promise was kept. Afterwards the fleet is as at its start. */
  async endsWell(): Promise<void> {
    expect((await this.check()).violations.join('\n')).toBe('')
    for (const worker of this.workers) if (worker.ended !== undefined) await this.replace(worker)
  }

  /** Stops dispatching, waits for the end of every job, and then ends every process in order. */
  async ends(): Promise<void> {
    await stop(this.#living().filter(({ program }) => program === 'dispatcher'))
    await this.#allEnded()
    await stop(this.#living())
    expect(this.violations.join('\n')).toBe('')
  }

  #living(): readonly Member[] {
    return this.#members.flatMap(({ member }) => (member.ended === undefined ? [member] : []))
  }

  #hear(line: string): boolean {
    if (line === 'paused') this.#count.pauses += 1
    else if (line.startsWith('dispatched ')) {
      const [, id = '', ms] = line.split(' ')
      this.dispatched.push(id)
      this.#count.dispatched += 1
      this.slowestDispatchMs = Math.max(this.slowestDispatchMs, Number(ms))
    } else return line.startsWith('refused ')
    return true
  }

  async #untilEnded(member: Member): Promise<void> {
    await member.exited
    this.#watch.forget(member.pid)
    const found = this.#judge(member)
    this.violations.push(...found)
    this.#options.ended?.(member, found.length === 0)
  }

  /** Judges how it ended, and the memory that it has used so far. */
  #judge({ name, ended, expected, output, memory }: Member): readonly string[] {
    const samples = { samples: memory?.values ?? [], limitBytes: memoryLimitBytes }
    const life = ended === undefined ? { said: '' } : { ended, expected, said: output() }
    return texts(checkProcesses([{ name, ...life, memory: samples }]))
  }

  async #allEnded(): Promise<void> {
    // Keys whose holder has failed for good wait for an operator.
    const skipHolders = async (): Promise<void> => {
      for (const { holder } of await this.errand.jobs.blockedKeys())
        await this.errand.jobs.skip(holder, { by: 'the fleet' })
    }
    await allEnded(this.log, allEndWithinMs, this.#options.jobs === 'every' ? skipHolders : undefined).catch(
      async (error: unknown) => {
        throw await this.#stillLive(error)
      },
    )
  }

  /** The error of a failed wait: it names the jobs that have not ended. */
  async #stillLive(cause: unknown): Promise<Error> {
    const states = ['running', 'ready', 'scheduled', 'blocked'] as const
    const list = async (): Promise<string> => {
      const lists = await Promise.all(states.map((state) => this.log.list({ state }, { limit: 10 })))
      const words = ({ id, state, name, queue, lane, run, worker }: JobRecord): string =>
        [id, state, name, queue, lane, `run ${run}`, worker].join(' ')
      return lists.flat().map(words).join('\n')
    }
    return new Error(`${(cause as Error).message}; not ended yet:\n${await list().catch(String)}`, { cause })
  }
}

/** Stops them in order. */
async function stop(members: readonly Member[]): Promise<void> {
  for (const member of members) member.signal('SIGTERM')
  await Promise.all(members.map(({ exited }) => exited))
}

/** Asks, and returns false while the log cannot be reached. */
async function whileAway(look: () => Promise<boolean> | boolean): Promise<boolean> {
  try {
    return await look()
  } catch (error) {
    if (isAway(error)) return false
    throw error
  }
}

/** True if the error says that the log cannot be reached. */
export function isAway(error: unknown): boolean {
  const codes = ['E_LOG_UNREACHABLE', 'E_DISPATCH_UNKNOWN', 'E_LOG'] as const
  return codes.some((code) => isErrandError(error, code))
}

function texts(found: ReturnType<typeof checkProcesses>, fault = ''): readonly string[] {
  const all = describeViolations(found).split('\n').filter(Boolean)
  return fault === '' ? all : all.map((text) => `${text} (${fault})`)
}
