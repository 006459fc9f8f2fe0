// The fleet of a soak: four workers and a dispatcher, replaced as they end; what became of them; and how soon work went on
// after each fault.
import { join } from 'node:path'
import { createErrand, isErrandError } from '@errand/core'
import type { Errand } from '@errand/core'
import { systemClock } from '@errand/core/ports'
import type { JobLog, JobRecord } from '@errand/core/ports'
import { logFromUrl } from '../services/logs.ts'
import { checkProcesses, describeViolations, quietLogger, until } from '@errand/testkit'
import type { LedgerLine, Recovery } from '@errand/testkit'
import { createEffects } from '../faults/app/effects.ts'
import { afterReturnMs, leaseMs } from '../faults/limits.ts'
import { withGrace } from '../fleet/app/grace.ts'
import { pause } from '../fleet/looks.ts'
import { startProcess } from '../fleet/process.ts'
import type { FleetProcess } from '../fleet/process.ts'
import { allTake, startsByTicket } from '../fleet/recovery.ts'
import type { SoakFault } from './faults.ts'
import { LedgerTail } from './ledger.ts'
import { watchMemory } from '../fleet/memory.ts'
import type { Samples } from '../fleet/memory.ts'
import type { Run } from './run.ts'
import type { Servers } from './servers.ts'

/** The first one is neither killed nor stopped, so that there is a long life whose memory can be looked at. */
const workerCount = 4
/** What a process may use of memory. */
const memoryLimitBytes = 400 * 1_048_576
const sampleEveryMs = 2_000
const programs = {
  worker: join(import.meta.dirname, 'app', 'worker.ts'),
  dispatcher: join(import.meta.dirname, 'app', 'dispatcher.ts'),
} as const
type Program = keyof typeof programs
/** How much is shown of what a process said that ended by itself. */
const wordsLength = 3_000

export interface Member extends FleetProcess {
  readonly name: string
  readonly program: Program
  readonly memory: Samples
}

/** A recovery, and what had happened. */
export interface Recovered extends Recovery {
  readonly fault: SoakFault
}

/** The life of one process, once it is over or the soak is. */
export interface Life {
  readonly name: string
  readonly program: Program | 'soak'
  /** Undefined: it lived until the end. */
  readonly ended: number | string | undefined
  /** Whether it was told to, or killed. */
  readonly asked: boolean
  readonly memory: Samples
}

export interface Fleet {
  readonly servers: Servers
  /** Of the soak itself, past every proxy. */
  readonly errand: Errand
  readonly log: JobLog
  readonly recoveries: readonly Recovered[]
  /** Violations of I8, and whatever a fault has to say: as text. */
  readonly violations: string[]
  readonly lives: readonly Life[]
  /** Dispatches that were answered since the last call, in that order. */
  takeDispatched(): readonly string[]
  /** What handlers have noted since the last call. */
  takeLedger(): readonly LedgerLine[]
  readonly workers: readonly Member[]
  /** A worker that may be killed, frozen and stopped. */
  victim(which: number): Member
  victims(): readonly Member[]
  /** Starts a worker in the place of one that ends, or has ended. */
  replace(member: Member): Promise<void>
  killDispatcher(): Promise<void>
  /** Tells every process of the fleet. */
  tell(line: string): void
  /** Dispatches no more, and resolves when every dispatch was answered. */
  rest(): Promise<void>
  resume(): void
  /** Waits until so many more jobs have ended. */
  goesOn(jobs?: number): Promise<void>
  dispatchGoesOn(jobs?: number): Promise<void>
  /** Which fault the recoveries from here on belong to. */
  suffers(fault: SoakFault): void
  /** Waits until it is true, and notes how long that took since the fault's end. @throws when it takes three times the limit. */
  recovers(
    what: string,
    limitMs: number,
    look: () => Promise<boolean> | boolean,
    sinceMs?: number,
  ): Promise<void>
  /** Every worker takes jobs, and a job is started, by its ticket where there are tickets: within 10 s. */
  takesAgain(): Promise<void>
  heldBy(worker: string): Promise<readonly JobRecord[]>
  /** Nothing is asked of the processes any more: their lives are over. */
  end(): void
}

/** Starts it; dispatching is paused until `resume`. The log is migrated first. */
export async function startFleet(
  servers: Servers,
  rate: number,
  { say, atTheEnd, ending }: Run,
): Promise<Fleet> {
  const factory = withGrace(logFromUrl(servers.log), 2_000)
  const log = factory.open({ clock: systemClock, logger: quietLogger })
  atTheEnd(() => log.close())
  await log.migrate()
  await createEffects(servers.log)
  const errand = createErrand({ log: factory, driver: servers.driver ?? 'database', logger: quietLogger })
  atTheEnd(() => errand.close())

  const watch = watchMemory(sampleEveryMs)
  atTheEnd(() => watch.stop())
  const own = watch.of(process.pid)
  const ledgerFile = join(servers.folder, 'ledger')
  const tail = new LedgerTail(ledgerFile)
  const violations: string[] = []
  const recoveries: Recovered[] = []
  const lives: Life[] = []
  const expected = new Map<number, (number | string)[]>()
  const count = { worker: 0, dispatcher: 0, dispatched: 0, ended: 0, pauses: 0 }
  let dispatched: string[] = []
  let ledger: LedgerLine[] = []
  let fault: SoakFault = 'worker killed'
  let over = false
  const isOver = (): boolean => over || ending.aborted

  function readLedger(): void {
    for (const line of tail.read()) {
      ledger.push(line)
      if (line.mark === 'ended') count.ended += 1
    }
  }

  async function start(program: Program, env: Readonly<Record<string, string>> = {}): Promise<Member> {
    const name = `${program} ${(count[program] += 1)}`
    const started = await startProcess(
      programs[program],
      { ...servers.env, LEDGER: ledgerFile, LEASE_MS: String(leaseMs), ...env },
      {
        finally: atTheEnd,
        line(line) {
          if (line === 'paused') count.pauses += 1
          else if (line.startsWith('dispatched ')) {
            dispatched.push(line.slice('dispatched '.length))
            count.dispatched += 1
          } else return false
          return true
        },
      },
    )
    const memory = watch.of(started.pid)
    const ends: (number | string)[] = []
    expected.set(started.pid, ends)
    const member: Member = {
      name,
      program,
      memory,
      id: started.id,
      pid: started.pid,
      exited: started.exited,
      get ended() {
        return started.ended
      },
      output: started.output,
      tell: (line) => started.tell(line),
      signal(signal) {
        if (signal === 'SIGKILL') ends.push('SIGKILL')
        if (signal === 'SIGTERM') ends.push(0)
        started.signal(signal)
      },
    }
    void started.exited.then((how) => (isOver() ? undefined : buried(member, how)))
    return member
  }

  /** As whatever keeps processes running would do it: again and again, as it may not come up while its log is away. */
  async function revive(member: Member): Promise<void> {
    while (!isOver() && workers.includes(member)) {
      try {
        await fleet.replace(member)
      } catch (error) {
        say(`${member.name} does not come up again: ${String(error)}`)
        await pause()
      }
    }
  }

  /** Judged and counted at its end, so that those that came and went leave nothing behind but a line. */
  function buried(member: Member, how: number | string | undefined): void {
    watch.forget(member.pid)
    const asked = how === undefined || (expected.get(member.pid) ?? []).length > 0
    const found = checkProcesses([
      {
        name: member.name,
        ended: how,
        expected: how === undefined ? [] : expected.get(member.pid),
        said: member.output(),
        memory: { samples: member.memory.values, limitBytes: memoryLimitBytes },
      },
    ])
    expected.delete(member.pid)
    lives.push({ name: member.name, program: member.program, ended: how, asked, memory: member.memory })
    if (found.length > 0) violations.push(describeViolations(found))
    if (asked && found.length === 0) return
    say(`${member.name} has ended with ${how}; it had said:\n${member.output().trim().slice(-wordsLength)}`)
    if (member.program === 'worker') void revive(member)
  }

  const everyMs = Math.max(1, Math.round(1_000 / rate))
  const startDispatcher = (paused: boolean): Promise<Member> =>
    start('dispatcher', { EVERY_MS: String(everyMs), PAUSED: String(paused) })
  const first = await Promise.all([
    startDispatcher(true),
    ...Array.from({ length: workerCount }, () => start('worker')),
  ])
  let [dispatcher] = first
  const workers = first.slice(1)

  const fleet: Fleet = {
    servers,
    errand,
    log,
    recoveries,
    violations,
    lives,
    workers,
    takeDispatched() {
      const taken = dispatched
      dispatched = []
      return taken
    },
    takeLedger() {
      readLedger()
      const taken = ledger
      ledger = []
      return taken
    },
    victims: () => workers.slice(1),
    victim: (which) => workers[1 + Math.floor(which * (workerCount - 1))] ?? workers[1]!,
    async replace(member) {
      const index = workers.indexOf(member)
      workers[index] = await start('worker')
    },
    async killDispatcher() {
      dispatcher.signal('SIGKILL')
      await dispatcher.exited
      dispatcher = await startDispatcher(false)
    },
    tell(line) {
      for (const member of [dispatcher, ...workers]) if (member.ended === undefined) member.tell(line)
    },
    async rest() {
      const before = count.pauses
      dispatcher.tell('pause')
      await until(() => count.pauses > before, { what: 'dispatching has paused', withinMs: 60_000, pause })
    },
    resume: () => dispatcher.tell('resume'),
    async goesOn(jobs = 20) {
      const ended = (): number => {
        readLedger()
        return count.ended
      }
      const enough = ended() + jobs
      await until(() => ended() >= enough, { what: 'work goes on', withinMs: 60_000, pause })
    },
    async dispatchGoesOn(jobs = 20) {
      const enough = count.dispatched + jobs
      await until(() => count.dispatched >= enough, { what: 'dispatch goes on', withinMs: 60_000, pause })
    },
    suffers: (name) => void (fault = name),
    async recovers(what, limitMs, look, sinceMs = performance.now()) {
      const note = (recovery: Recovery): void => {
        recoveries.push({ ...recovery, fault })
        const late = checkProcesses([], [recovery])
        if (late.length > 0) violations.push(`${describeViolations(late)} (${fault})`)
      }
      try {
        // The soak's own connections suffer as well: what cannot be looked at has not recovered.
        await until(() => answered(look), { what, withinMs: 3 * limitMs, pause })
      } catch (error) {
        note({ what, ms: undefined, limitMs })
        throw error
      }
      note({ what, ms: performance.now() - sinceMs, limitMs })
    },
    takesAgain: () =>
      fleet.recovers(
        'every worker takes jobs, and a job starts',
        afterReturnMs,
        async () => (await allTake(errand, workers.length)) && startsByTicket({ errand, log }),
      ),
    heldBy: async (worker) =>
      (await log.list({ state: 'running' }, { limit: 500 })).filter((job) => job.worker === worker),
    end() {
      over = true
      for (const member of [dispatcher, ...workers]) if (member.ended === undefined) buried(member, undefined)
      lives.push({ name: 'the soak itself', program: 'soak', ended: undefined, asked: true, memory: own })
      const found = checkProcesses([
        { name: 'the soak itself', said: '', memory: { samples: own.values, limitBytes: memoryLimitBytes } },
      ])
      if (found.length > 0) violations.push(describeViolations(found))
    },
  }
  return fleet
}

async function answered(look: () => Promise<boolean> | boolean): Promise<boolean> {
  try {
    return await look()
  } catch (error) {
    const codes = ['E_LOG_UNREACHABLE', 'E_DISPATCH_UNKNOWN', 'E_LOG'] as const
    if (codes.some((code) => isErrandError(error, code))) return false
    throw error
  }
}
