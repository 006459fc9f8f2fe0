import type { Checked } from '../fleet/check.ts'
import { lasts } from '../fleet/looks.ts'
import { openPlace } from '../fleet/place.ts'
import { drawChoices } from './choices.ts'
import type { SoakFault } from './faults.ts'
import { startSoaking } from './fleet.ts'
import { makers } from './makers.ts'
import type { SoakOptions } from './options.ts'
import type { Run } from './run.ts'
import { summarize } from './summary.ts'
import type { Summary } from './summary.ts'
import { seconds } from './table.ts'

const checkEveryMs = 60_000

/**
 * One fleet on its own servers, and one fault after another. Each begins when the fleet has recovered from the previous one.
 * It ends early if something does not recover or a checkpoint finds a violation, because later results would mean nothing.
 */
export async function soak(options: SoakOptions, run: Run): Promise<Summary> {
  const { place, seed, minutes } = options
  const { say } = run
  say(`starting servers and a fleet on ${place}; seed ${seed}`)
  const soaking = await startSoaking(await openPlace(place, run.atTheEnd), options.rate, run)
  const { fleet } = soaking
  const beganMs = performance.now()
  const sofar = (): string => seconds(performance.now() - beganMs).padStart(8)
  const faults: SoakFault[] = []
  const totals = new Totals()
  const violations: string[] = []

  const check = async (): Promise<void> => {
    const checked = await fleet.check()
    totals.add(checked)
    say(`${sofar()}  checkpoint ${totals.checkpoints}: ${totals.jobs()} jobs have ended`)
    violations.push(...checked.violations)
  }
  try {
    await fleet.begin()
    let checkedMs = performance.now()
    for (const choice of drawChoices(options.only, seed)) {
      await lasts(Math.max(1, choice.pauseMs))
      if (performance.now() - beganMs >= minutes * 60_000) break
      faults.push(choice.fault)
      fleet.fault = choice.fault
      const before = fleet.recoveries.length
      await makers[choice.fault](fleet, choice)
      const recovered = fleet.recoveries
        .slice(before)
        .map(({ what, ms }) => `${what} after ${seconds(ms ?? 0)}`)
      say(`${sofar()}  ${[choice.fault, ...recovered].join('; ')}`)
      if (fleet.violations.length > 0) break
      if (performance.now() - checkedMs < checkEveryMs) continue
      await check()
      if (violations.length > 0) break
      fleet.resume()
      checkedMs = performance.now()
    }
    await check()
  } catch (error) {
    violations.push(`the soak ended early, at ${faults.at(-1) ?? 'its start'}: ${readMessage(error)}`)
  }
  const ended = soaking.end()
  return summarize({
    place,
    seed,
    lastedMs: performance.now() - beganMs,
    checkpoints: totals.checkpoints,
    jobs: totals.states,
    events: totals.events,
    faults,
    recoveries: fleet.recoveries,
    lives: ended.lives,
    violations: [...violations, ...fleet.violations, ...ended.violations],
  })
}

function readMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** What all checkpoints have counted. */
class Totals {
  checkpoints = 0
  readonly states: Record<string, number> = {}
  readonly events: Record<string, number> = {}

  add({ jobs, events }: Checked): void {
    this.checkpoints += 1
    for (const [into, counts] of [
      [this.states, jobs],
      [this.events, events],
    ] as const) {
      for (const [name, count] of Object.entries(counts)) into[name] = (into[name] ?? 0) + count
    }
  }

  jobs(): number {
    return Object.values(this.states).reduce((sum, count) => sum + count, 0)
  }
}
