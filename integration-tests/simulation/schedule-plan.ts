import { defineSchedule } from '@errand/core'
import type { ScheduleDefinition, ScheduleOptions, SetSchedule, Tick } from '@errand/core'
import type { Chance } from './chance.ts'
import { briefPayload, newPayload } from './jobs.ts'
import type { Payload, SimulatedJob } from './jobs.ts'

/** One in this many seeds has schedules. */
const [scheduledEvery, scheduledFrom] = [4, 1]
/** The longer ones come only when the log's clock jumps, and miss ticks then. */
const distances = ['1s', '2s', '3s', '5s', '90s', '10m'] as const
type Distance = (typeof distances)[number]
/** Has a payload that cannot be made for one tick in three. */
const fragile = 'fragile'

/** The names that a schedule may have. The payload of a tick has its name as its key. */
export const scheduleNames = ['same', 'changed', 'older', 'newer', fragile, 'tenant'] as const

/** The schedules of one run. */
export interface SchedulePlan {
  /** What workers of the older version declare. */
  readonly older: readonly ScheduleDefinition[]
  readonly newer: readonly ScheduleDefinition[]
  /** What operators set at run time, one or the other. */
  readonly set: readonly SetSchedule<Payload>[]
  /** The log's clock jumps ahead, again and again. */
  readonly jumps: boolean
}

export function planSchedules(
  seed: number,
  chance: Chance,
  jobs: readonly SimulatedJob[],
): SchedulePlan | undefined {
  if (seed % scheduledEvery !== scheduledFrom) return undefined
  // Workers of the older version do not know the last job.
  const known = jobs.slice(0, -1)
  const define = (name: string, options = drawOptions(chance)): ScheduleDefinition => {
    const payloads = Array.from({ length: 4 }, () => drawPayload(chance, name, options.every))
    return defineSchedule({
      name,
      job: chance.pick(known),
      ...options,
      payload: (tick: Tick) => {
        if (isUnmakeable(name, tick.at.getTime())) throw new Error('this payload cannot be made')
        return payloads[Math.floor(tick.at.getTime() / 1_000) % payloads.length] ?? briefPayload
      },
    })
  }
  const same = drawOptions(chance)
  const changed = drawOptions(chance)
  const tenant = (): SetSchedule<Payload> => {
    const options = drawOptions(chance)
    return {
      name: 'tenant',
      job: chance.pick(known),
      payload: drawPayload(chance, 'tenant', options.every),
      ...options,
    }
  }
  return {
    older: [define('same', same), define('changed', changed), define('older')],
    newer: [
      define('same', same),
      define('changed', { ...changed, every: chance.pick(distances) }),
      define(chance.happens(0.3) ? fragile : 'newer'),
    ],
    set: [tenant(), tenant()],
    jumps: chance.happens(0.5),
  }
}

/** Whether the payload of this tick cannot be made, so that it has no job. */
export function isUnmakeable(name: string, atMs: number): boolean {
  return name === fragile && Math.floor(atMs / 1_000) % 3 === 0
}

function drawOptions(chance: Chance): ScheduleOptions & { readonly every: Distance } {
  return {
    every: chance.pick(distances),
    missed: chance.pick(['last', 'skip']),
    overlap: chance.pick(['allow', 'skip']),
    jitter: chance.pick([0, 0, 0, 700]),
  }
}

/** Up to sixty ticks run at once after a jump, and those of one ordering key one after another: they must be brief. */
function drawPayload(chance: Chance, name: string, every: Distance): Payload {
  const isRare = every === '90s' || every === '10m'
  if (isRare && chance.happens(0.4)) return newPayload(chance)
  const longestMs = isRare || every === '5s' ? 2_000 : 500
  const ms = chance.pick([0, 0, chance.between(0, longestMs)])
  const does = every === '5s' && chance.happens(0.2) ? 'failForGood' : 'succeed'
  return { ...briefPayload, key: name, acts: [{ does, ms }] }
}
