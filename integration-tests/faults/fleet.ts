// A fleet of real processes on a place, and the chapters of its life.
//
//   const fleet = await startFleet(await openPlace('postgres', atTheEnd), atTheEnd)   // four workers, one dispatcher
//   const chapter = await fleet.begin()          // the dispatcher dispatches jobs of every kind from here on
//   fleet.workers[0].signal('SIGKILL')           // a fault
//   await fleet.recovers('…', 8_000, look)       // a figure, and I8 when it is late
//   await chapter.endsWell()                     // dispatching pauses, every job ends, I1–I8 hold, four workers again
//
// A chapter reads only what has happened since it began, so that a fleet can live for long. `describePlace`
// (describe.ts) makes one chapter of each story; who needs other lives begins and ends chapters by itself.
import { join } from 'node:path'
import { expect } from 'vitest'
import type { Errand } from '@errand/core'
import type { JobLog, JobRecord } from '@errand/core/ports'
import { checkHistory, checkProcesses, describeViolations, readHistory, until } from '@errand/testkit'
import type { DispatchedJob, LedgerLine, ProcessRecord, Recovery } from '@errand/testkit'
import { once, ordered } from '../fleet/app/jobs.ts'
import { ledgerReader } from '../fleet/app/ledger.ts'
import { allEnded, pause } from '../fleet/looks.ts'
import { watchMemory } from '../fleet/memory.ts'
import { startProcess } from '../fleet/process.ts'
import type { FleetProcess } from '../fleet/process.ts'
import { allTake, everyWorkerRuns, startsByTicket } from '../fleet/recovery.ts'
import { sceneOn } from '../fleet/scene.ts'
import type { Finally } from '../fleet/scene.ts'
import { createEffects } from './app/effects.ts'
import { blocking, heldOnce, skipping } from './app/jobs.ts'
import { afterReturnMs, leaseMs } from './limits.ts'
import type { Place } from './place.ts'

/** What a process may use of memory. */
const memoryLimitBytes = 400 * 1_048_576
const workerCount = 4
/** Of each worker. */
const slots = 10
const sampleEveryMs = 2_000
/** Only ends what hangs: a slow machine may take its time. */
const patienceMs = (jobs: number): number => 30_000 + 500 * jobs

/** A process of the fleet, and how it may end. */
export interface Member extends FleetProcess {
  readonly name: string
  /** It will end by itself, with one of these: exit codes or signals. */
  expects(...ends: readonly (number | string)[]): void
}

export interface MemberOptions {
  /** Default: a worker. */
  readonly program?: 'worker' | 'dispatcher' | undefined
  /** Over that of the place. */
  readonly env?: Readonly<Record<string, string>> | undefined
  readonly execArgv?: readonly string[] | undefined
  readonly through?: readonly string[] | undefined
  /** Takes the ids of the jobs whose dispatch it was answered. Default: they are of the fleet's own log. */
  readonly answered?: string[] | undefined
  /** How it will end by itself. */
  readonly expects?: readonly (number | string)[] | undefined
}

export interface Fleet {
  readonly place: Place
  /** Of the test itself, past every proxy. */
  readonly errand: Errand
  readonly log: JobLog
  readonly ledger: string
  /** What handlers have written there so far. */
  ledgerLines(): readonly LedgerLine[]
  /** The four of the fleet: a worker that has ended is replaced when its chapter ends. */
  readonly workers: readonly Member[]
  readonly dispatcher: Member
  /** Ids of all jobs whose dispatch was answered to a dispatcher, in that order. */
  readonly dispatched: readonly string[]
  begin(): Promise<Chapter>
  /** Starts one more process, which ends with the chapter. */
  start(options?: MemberOptions): Promise<Member>
  /** Tells every process of the fleet. */
  tell(line: string): void
  /** Waits until so many more jobs have ended. */
  goesOn(jobs?: number): Promise<void>
  /** Waits until so many more have been dispatched. */
  dispatchGoesOn(jobs?: number): Promise<void>
  /** Waits until it is true, and notes how long that took; too late is a violation of I8. `sinceMs`: the fault's end. */
  recovers(
    what: string,
    limitMs: number,
    look: () => Promise<boolean> | boolean,
    sinceMs?: number,
  ): Promise<void>
  /** Every worker takes jobs, and a job is started, by its ticket where there are tickets: within 10 s. */
  takesAgain(sinceMs?: number): Promise<void>
  /** Jobs that this worker runs. */
  heldBy(worker: string): Promise<readonly string[]>
}

export interface Chapter {
  /** Filled by `recovers`. */
  readonly recoveries: readonly Recovery[]
  endsWell(): Promise<void>
}

/** Starts it; dispatching is paused until a chapter begins. The place's log is migrated first. */
export async function startFleet(place: Place, atTheEnd: Finally): Promise<Fleet> {
  const scene = await sceneOn(place.log, place.folder, {
    driver: place.driver,
    publishGraceMs: 2_000,
    finally: atTheEnd,
  })
  const { errand, log, ledger } = scene
  await createEffects(place.log)
  const members: (Member & { readonly record: () => ProcessRecord })[] = []
  const dispatched: string[] = []
  const watch = watchMemory(sampleEveryMs)
  atTheEnd(() => watch.stop())
  let pauses = 0
  let count = 0

  async function start(options: MemberOptions = {}): Promise<(typeof members)[number]> {
    const program = options.program ?? 'worker'
    const name = `${program} ${(count += 1)}`
    const expected = [...(options.expects ?? [])]
    const { answered = dispatched } = options
    const env = {
      ...place.env,
      LEDGER: ledger,
      LEASE_MS: String(leaseMs),
      CONCURRENCY: String(slots),
      ...options.env,
    }
    const started = await startProcess(join(import.meta.dirname, 'app', `${program}.ts`), env, {
      finally: atTheEnd,
      execArgv: options.execArgv,
      through: options.through,
      line(line) {
        if (line === 'paused') pauses += 1
        else if (line.startsWith('dispatched ')) answered.push(line.slice('dispatched '.length))
        else return false
        return true
      },
    })
    const memory = watch.of(started.pid)
    const member = {
      name,
      id: started.id,
      pid: started.pid,
      exited: started.exited,
      get ended() {
        return started.ended
      },
      output: started.output,
      tell: (line: string) => started.tell(line),
      expects: (...ends: readonly (number | string)[]) => void expected.push(...ends),
      signal(signal: Parameters<FleetProcess['signal']>[0]) {
        if (signal === 'SIGKILL') expected.push('SIGKILL')
        if (signal === 'SIGTERM') expected.push(0)
        started.signal(signal)
      },
      record: (): ProcessRecord => ({
        name,
        ended: started.ended,
        expected: started.ended === undefined ? [] : expected,
        said: started.output(),
        memory: { samples: memory.values, limitBytes: memoryLimitBytes },
      }),
    }
    members.push(member)
    return member
  }

  const [dispatcher, ...workers] = await Promise.all([
    start({ program: 'dispatcher', env: { PAUSED: 'true' } }),
    ...Array.from({ length: workerCount }, () => start()),
  ])
  let recoveries: Recovery[] = []
  const ledgerLines = ledgerReader(ledger)
  const endedJobs = (): number => ledgerLines().filter(({ mark }) => mark === 'ended').length

  const fleet: Fleet = {
    place,
    errand,
    log,
    ledger,
    ledgerLines,
    workers,
    dispatcher,
    dispatched,
    start,
    tell: (line) => {
      for (const member of members) if (member.ended === undefined) member.tell(line)
    },
    async begin() {
      recoveries = []
      const since = await marks()
      dispatcher.tell('resume')
      await fleet.goesOn(10)
      return { recoveries, endsWell: () => endsWell(since) }
    },
    async goesOn(jobs = 20) {
      const enough = endedJobs() + jobs
      await until(() => endedJobs() >= enough, { what: 'work goes on', withinMs: patienceMs(jobs), pause })
    },
    async dispatchGoesOn(jobs = 20) {
      const enough = dispatched.length + jobs
      const within = { what: 'dispatch goes on', withinMs: patienceMs(jobs), pause }
      await until(() => dispatched.length >= enough, within)
    },
    async recovers(what, limitMs, look, sinceMs = performance.now()) {
      const chapter = recoveries
      try {
        await until(look, { what, withinMs: 3 * limitMs, pause })
        chapter.push({ what, ms: performance.now() - sinceMs, limitMs })
      } catch (error) {
        chapter.push({ what, ms: undefined, limitMs })
        throw new Error(`${(error as Error).message}; not ended yet:\n${await notEnded(log).catch(String)}`, {
          cause: error,
        })
      }
    },
    async takesAgain(sinceMs = performance.now()) {
      const alive = members.filter(
        ({ name, ended }) => ended === undefined && name.startsWith('worker'),
      ).length
      await fleet.recovers(
        'every worker takes jobs, and a job starts',
        afterReturnMs,
        async () => (await allTake(errand, alive)) && startsByTicket({ errand, log }),
        sinceMs,
      )
      await everyWorkerRuns({ errand, log }, slots)
    },
    heldBy: async (worker) =>
      (await jobsRunning(log)).flatMap((job) => (job.worker === worker ? [job.id] : [])),
  }
  return fleet

  /** Where a chapter begins. */
  async function marks() {
    const [newest] = await log.list({}, { limit: 1 })
    return {
      cursor: await log.end(),
      newest: newest?.id,
      ledger: ledgerLines().length,
      dispatched: dispatched.length,
      ended: new Set(members.filter(({ ended }) => ended !== undefined)),
    }
  }

  async function endsWell(since: Awaited<ReturnType<typeof marks>>): Promise<void> {
    await rest()
    const look = async (): Promise<string> => {
      const events = await readHistory(log, { after: since.cursor })
      const jobs = await jobsSince(log, since.newest)
      const known = new Set(jobs.map(({ id }) => id))
      const history = checkHistory({
        events,
        // What a dispatcher was answered, and the log does not list, is lost.
        dispatched: [...jobs, ...dispatched.slice(since.dispatched).filter((id) => !known.has(id))],
        ledger: ledgerLines().slice(since.ledger),
        live: [],
      })
      const processes = members.filter((member) => !since.ended.has(member)).map((member) => member.record())
      return describeViolations([...history, ...checkProcesses(processes, recoveries)])
    }
    let found = ''
    // PostgreSQL shows events to readers once no older transaction is open: what is missing may come.
    await until(async () => (found = await look()) === '', { withinMs: 5_000, pause }).catch(() => {})
    expect(found).toBe('')
    for (const [index, worker] of workers.entries())
      if (worker.ended !== undefined) workers[index] = await start()
  }

  /** No more is dispatched; every job ends; and only the fleet itself is left. */
  async function rest(): Promise<void> {
    const before = pauses
    dispatcher.tell('pause')
    const extra = members.filter(
      (member) => member.ended === undefined && member !== dispatcher && !workers.includes(member),
    )
    const stop = (name: string): Promise<unknown> =>
      Promise.all(
        extra
          .filter((member) => member.name.startsWith(name))
          .map((member) => {
            if (member.ended === undefined) member.signal('SIGTERM')
            return member.exited
          }),
      )
    await stop('dispatcher')
    await until(() => pauses > before, { what: 'dispatching has paused', withinMs: 30_000, pause })
    await allEnded(log, 90_000)
    await stop('worker')
  }
}

/** For a failure: what there still was to do. */
async function notEnded(log: JobLog): Promise<string> {
  const states = ['running', 'ready', 'scheduled', 'blocked'] as const
  const lists = await Promise.all(states.map((state) => log.list({ state }, { limit: 10 })))
  const lines = lists
    .flat()
    .map(({ id, state, name, queue, lane, run, worker }) =>
      [id, state, name, queue, lane, `run ${run}`, worker].join(' '),
    )
  return lines.join('\n')
}

async function jobsRunning(log: JobLog): Promise<readonly JobRecord[]> {
  return log.list({ state: 'running' }, { limit: 500 })
}

const policies: Readonly<Record<string, Omit<DispatchedJob, 'id'>>> = {
  [once.name]: { onCrash: 'fail' },
  [heldOnce.name]: { onCrash: 'fail' },
  [ordered.name]: { onFailure: 'block' },
  [blocking.name]: { onFailure: 'block' },
  [skipping.name]: { onFailure: 'skip' },
}

/** In the order of dispatch. */
async function jobsSince(log: JobLog, newest: string | undefined): Promise<DispatchedJob[]> {
  const newestFirst: JobRecord[] = []
  for (;;) {
    const page = await log.list({}, { limit: 500, after: newestFirst.at(-1)?.id })
    const last = page.findIndex(({ id }) => id === newest)
    newestFirst.push(...(last < 0 ? page : page.slice(0, last)))
    if (last >= 0 || page.length === 0) break
  }
  return newestFirst.toReversed().map(({ id, name }) => ({ id, ...policies[name] }))
}
