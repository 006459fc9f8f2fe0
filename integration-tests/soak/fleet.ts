// The fleet of a soak: a process that ends is started again, as a supervisor would, and every process is noted.
import { checkProcesses, describeViolations } from '@errand/testkit'
import { startFleet } from '../fleet/fleet.ts'
import type { Fleet } from '../fleet/fleet.ts'
import { pause } from '../fleet/looks.ts'
import type { Member } from '../fleet/member.ts'
import { memoryLimitBytes, sampleEveryMs, watchMemory } from '../fleet/memory.ts'
import type { Samples } from '../fleet/memory.ts'
import type { Place } from '../fleet/place.ts'
import type { Run } from './run.ts'

/** Dispatches that are under way at the same time. */
const lines = 4
/** How many characters of its output are shown if a process ended by itself. */
const wordsLength = 3_000

/** The life of one process, once it is over or the soak is. */
export interface Life {
  readonly name: string
  readonly program: string
  /** Undefined: it lived until the end. */
  readonly ended: number | string | undefined
  /** Whether the soak told it to end, or killed it. */
  readonly asked: boolean
  readonly memory: Samples | undefined
}

export interface Soaking {
  readonly fleet: Fleet
  /** Ends the watch. Returns all processes, the soak itself included, and the violations. */
  end(): { readonly lives: readonly Life[]; readonly violations: readonly string[] }
}

/** @param rate jobs that are dispatched in a second */
export async function startSoaking(
  place: Place,
  rate: number,
  { say, atTheEnd, ending }: Run,
): Promise<Soaking> {
  const watch = watchMemory(sampleEveryMs)
  atTheEnd(() => watch.stop())
  const own = watch.of(process.pid)
  const lives: Life[] = []
  let over = false
  const isOver = (): boolean => over || ending.aborted
  // Only a line is kept of processes that have ended.
  const note = ({ name, program, ended, expected, memory }: Member): void =>
    void lives.push({ name, program, ended, asked: ended === undefined || expected.length > 0, memory })

  const fleet = await startFleet(place, {
    finally: atTheEnd,
    jobs: 'every',
    eachRuns: false,
    dispatcherEnv: { EVERY_MS: String((lines * 1_000) / rate), LINES: String(lines) },
    ended(member, good) {
      if (isOver()) return
      note(member)
      if (good && member.expected.length > 0) return
      const words = member.output().trim().slice(-wordsLength)
      say(`${member.name} has ended with ${member.ended}; it had said:\n${words}`)
      if (member.program === 'worker') void revive(member)
    },
  })

  /** Starts it again and again, because it may not start while its log is away. */
  async function revive(member: Member): Promise<void> {
    while (!isOver() && fleet.workers.includes(member)) {
      try {
        await fleet.replace(member)
      } catch (error) {
        say(`${member.name} does not come up again: ${String(error)}`)
        await pause()
      }
    }
  }

  return {
    fleet,
    end() {
      over = true
      for (const member of [fleet.dispatcher, ...fleet.workers]) if (member.ended === undefined) note(member)
      const name = 'the soak itself'
      lives.push({ name, program: 'soak', ended: undefined, asked: true, memory: own })
      const memory = { samples: own.values, limitBytes: memoryLimitBytes }
      const found = describeViolations(checkProcesses([{ name, said: '', memory }]))
      return { lives, violations: found === '' ? [] : [found] }
    },
  }
}
