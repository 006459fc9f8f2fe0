import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { Errand, Logger } from 'errand'
import type { Dispatched } from './audit/audit.ts'
import { Show } from './show.ts'
import type { Programme } from './show.ts'
import type { Overtaking } from './stage/director.ts'
import { nameDriver } from './stage/broker.ts'
import { Fleet, present } from './stage/fleet.ts'
import { stageFor } from './stage/stage.ts'
import { Story } from './stage/story.ts'
import { Swap } from './stage/swap.ts'
import { Tally } from './stage/tally.ts'

/** The results of the show. */
export interface Performance {
  /** In the order of their dispatch. */
  readonly dispatched: readonly Dispatched[]
  /** Jobs that were lost, in the order of the log's events. */
  readonly lost: readonly { readonly id: string; readonly label: string }[]
  readonly overtaking: Overtaking | undefined
  /** The workers' names, by their ids in the log. */
  readonly names: ReadonlyMap<string, string>
  /** The broker that they were moved to, and how many jobs they started from then on. */
  readonly swapped: { readonly broker: string; readonly jobs: number }
  readonly tookMs: number
}

/** Where the show runs. */
export interface Venue {
  readonly log: string
  /** The URL of the broker of the second half; without one the demo brings its own. */
  readonly driver: string | undefined
  readonly logger: Logger
  readonly interrupted: AbortSignal
}

const workers = 3
const frameMs = 100
const rollCallMs = 150
const silenceMs = 60_000

/** Runs the show on this terminal. When it returns or throws, none of its processes is left. */
export async function perform(
  errand: Errand,
  programme: Programme,
  { log, driver, logger, interrupted }: Venue,
): Promise<Performance> {
  const { out, ledger } = programme.place
  const raisedAt = performance.now()
  const clock = (): number => performance.now() - raisedAt
  const stage = stageFor(process.stdout)
  const story = new Story(clock, (line) => stage.tell(line))
  const tally = new Tally()
  // Ignores the configuration of this shell: the first half takes its jobs straight from the log.
  const environment = { ERRAND_LOG: log, ERRAND_DRIVER: 'database', ERRAND_DEMO_LEDGER: ledger }
  const source = log.startsWith('sqlite:') ? 'SQLite' : 'PostgreSQL'
  const fleet = new Fleet(workers, out, { source, environment })
  const swap = new Swap({ fleet, story, log, logger, driver, environment })
  const show = new Show(programme, { errand, fleet, tally, story, swap })
  const title = `${programme.pictures.length} pictures · ${show.total} jobs · ${workers} workers · ${source}, then ${nameDriver(driver)}`
  const { members } = fleet
  const frame = (): void =>
    stage.refresh({
      title,
      tally,
      members,
      story,
      total: show.total,
      elapsed: clock(),
      now: performance.now(),
    })

  // If this process ends, in any way, the workers end too.
  const atExit = (): void => fleet.killAll()
  process.once('exit', atExit)
  const frames = setInterval(frame, frameMs)
  const over = new AbortController()
  const curtain = AbortSignal.any([over.signal, interrupted])
  try {
    await show.open()
    await Promise.race([
      show.play(curtain),
      rollCall(errand, fleet, story, curtain),
      fleet.fallen,
      show.broken,
      watch(tally, curtain),
      cut(interrupted),
    ])
    interrupted.throwIfAborted()
    const lives = members.flatMap((member) =>
      member.lives.flatMap(({ id, ...life }) => (id ? [{ ...life, id, name: member.name }] : [])),
    )
    return {
      dispatched: show.dispatched,
      lost: show.director.lost,
      overtaking: show.director.overtaking,
      names: new Map(lives.map(({ id, name, pid }) => [id, `${name} (pid ${pid})`])),
      swapped: {
        broker: nameDriver(driver),
        jobs: lives.reduce(
          (sum, { id, source: from }) => sum + (from === source ? 0 : tally.startedBy(id)),
          0,
        ),
      },
      tookMs: clock(),
    }
  } finally {
    over.abort()
    clearInterval(frames)
    await fleet.stop()
    await swap.close()
    process.off('exit', atExit)
    frame()
    stage.close()
  }
}

/** Learns from the log which process is which worker. Never resolves; rejects only when the log cannot be read. */
async function rollCall(errand: Errand, fleet: Fleet, story: Story, signal: AbortSignal): Promise<never> {
  while (!signal.aborted) {
    const isComplete = fleet.members.every((member) => present(member).id !== undefined)
    for (const { id, pid } of isComplete ? [] : await errand.workers.list()) {
      const member = fleet.arrived(pid, id)
      if (member) story.tell(`${member.name} is at work on ${present(member).source}, in process ${pid}`)
    }
    await delay(rollCallMs, undefined, { signal }).catch(() => {})
  }
  return forever()
}

/** Rejects when nothing has succeeded for a minute: then something is wrong, and nobody should wait for it. */
async function watch(tally: Tally, signal: AbortSignal): Promise<never> {
  for (let before = -1; before !== tally.events;) {
    before = tally.events
    await delay(silenceMs, undefined, { signal }).catch(() => {})
    if (signal.aborted) return forever()
  }
  throw new Error(`the log has told of nothing for ${silenceMs / 1000} s; ${tally.done} jobs are done`)
}

/** Rejects with the reason of the signal, whatever the others wait for. */
async function cut(signal: AbortSignal): Promise<never> {
  if (!signal.aborted) await once(signal, 'abort')
  throw signal.reason
}

function forever(): Promise<never> {
  return new Promise(() => {})
}
