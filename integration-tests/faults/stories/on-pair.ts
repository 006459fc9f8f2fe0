// A small fleet on a log that has two servers, and a name which leads to one of them.
import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { createErrand, isErrandError } from '@errand/core'
import type { JobEvent } from '@errand/core'
import { quietLogger, until } from '@errand/testkit'
import { startPair } from '../../failover/pair.ts'
import type { Pair } from '../../failover/pair.ts'
import { ledgerReader } from '../../fleet/app/ledger.ts'
import { allEnded, pause } from '../../fleet/looks.ts'
import { allTake, everyWorkerRuns, startsByTicket } from '../../fleet/recovery.ts'
import { sceneOn } from '../../fleet/scene.ts'
import type { Finally, Scene } from '../../fleet/scene.ts'
import { createEffects } from '../app/effects.ts'
import { afterReturnMs, leaseMs } from '../limits.ts'
import type { Fleet, Member } from '../fleet.ts'
import { hastyLog } from '../proxied.ts'

const slots = 5

/** Everything in it, the test included, reaches the log by the name of the pair. */
export interface OnPair extends Scene {
  readonly pair: Pair
  /** Ids of the jobs whose dispatch was answered, in that order. */
  readonly answered: readonly string[]
  /** One worker more, which serves this queue alone. */
  startWorker(queue: string): Promise<Member>
  /** Waits until so many more jobs have ended. */
  goesOn(jobs?: number): Promise<void>
  /** Every worker takes jobs, and a job is started, by its ticket where there are tickets: within ten seconds. */
  takesAgain(what: string, sinceMs: number): Promise<void>
  /** No more is dispatched, every job of the log ends, and the processes end in order. */
  ends(): Promise<void>
  /** A process of its own that only reads: it is told the events of the log, from the first one on. */
  follow(): Following
}

export interface Following {
  readonly events: readonly JobEvent[]
  /** What ended it. A log that went away did not: it follows again from where it was. */
  readonly error: unknown
}

/** On servers of its own: what happens to them is not the business of the fleet, whose history is read as a whole. */
export async function onPair(fleet: Fleet, act: (on: OnPair) => Promise<void>): Promise<void> {
  const acts: (() => void | Promise<void>)[] = []
  const atTheEnd: Finally = (each) => void acts.push(each)
  const folder = mkdtempSync(join(fleet.place.folder, 'pair-'))
  try {
    await act(await start(fleet, folder, atTheEnd))
  } finally {
    for (const each of acts.toReversed()) await each()
  }
}

async function start(fleet: Fleet, folder: string, atTheEnd: Finally): Promise<OnPair> {
  const pair = await startPair(atTheEnd)
  const scene = await sceneOn(hastyLog(pair.url, 'faults'), folder, {
    driver: fleet.place.driverOfItsOwn(),
    publishGraceMs: 2_000,
    finally: atTheEnd,
  })
  const { errand, log, env } = scene
  await createEffects(scene.url)
  const answered: string[] = []
  const members: Member[] = []
  const startMember = async (
    program: 'worker' | 'dispatcher',
    own: Readonly<Record<string, string>> = {},
  ): Promise<Member> => {
    const member = await fleet.start({
      program,
      env: { ...env, LEASE_MS: String(leaseMs), CONCURRENCY: String(slots), ...own },
      answered,
    })
    members.push(member)
    return member
  }
  const workers = await Promise.all([startMember('worker'), startMember('worker')])
  const dispatcher = await startMember('dispatcher')

  const ledgerLines = ledgerReader(scene.ledger)
  const ended = (): number => ledgerLines().filter(({ mark }) => mark === 'ended').length
  const goesOn = async (jobs = 20): Promise<void> => {
    const enough = ended() + jobs
    await until(() => ended() >= enough, { what: 'work goes on', withinMs: 40_000, pause })
  }
  await goesOn()

  return {
    ...scene,
    pair,
    answered,
    startWorker: (queue) => startMember('worker', { QUEUES: queue }),
    goesOn,
    async takesAgain(what, sinceMs) {
      const alive = members.length - 1
      const look = async (): Promise<boolean> =>
        (await allTake(errand, alive)) && startsByTicket({ errand, log })
      await fleet.recovers(what, afterReturnMs, () => whileAway(look()), sinceMs)
      await everyWorkerRuns({ errand, log, workers: workers.map(({ id }) => id) }, slots)
      await goesOn()
    },
    async ends() {
      await stop(dispatcher)
      await allEnded(log, 60_000)
      for (const member of members) if (member !== dispatcher) await stop(member)
    },
    follow: () => follow(scene.url, atTheEnd),
  }
}

async function stop(member: Member): Promise<void> {
  member.signal('SIGTERM')
  expect(await member.exited, member.output()).toBe(0)
}

/** False while the log cannot be asked. */
async function whileAway(look: Promise<boolean>): Promise<boolean> {
  try {
    return await look
  } catch (error) {
    if (isAway(error)) return false
    throw error
  }
}

function isAway(error: unknown): boolean {
  return (['E_LOG_UNREACHABLE', 'E_DISPATCH_UNKNOWN'] as const).some((code) => isErrandError(error, code))
}

function follow(url: string, atTheEnd: Finally): Following {
  const errand = createErrand({ log: url, logger: quietLogger })
  const stop = new AbortController()
  const events: JobEvent[] = []
  let failure: unknown
  const loop = async (): Promise<void> => {
    for (let after = 'start'; !stop.signal.aborted;) {
      try {
        for await (const event of errand.events.follow({ after, signal: stop.signal })) {
          events.push(event)
          after = event.cursor
        }
      } catch (error) {
        if (!isAway(error)) throw error
        await pause()
      }
    }
  }
  const running = loop().catch((error: unknown) => {
    failure = error
  })
  atTheEnd(async () => {
    stop.abort()
    await running
    await errand.close()
  })
  return {
    events,
    get error() {
      return failure
    },
  }
}
