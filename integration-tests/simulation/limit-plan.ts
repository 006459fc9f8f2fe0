import { defineLimit } from '@errand/core'
import type { LimitDefinition, LimitOptions } from '@errand/core'
import { Chance } from './chance.ts'
import type { Payload } from './jobs.ts'
import { scheduleNames } from './schedule-plan.ts'

/** One in this many seeds has limits. */
const [limitedEvery, limitedFrom] = [5, 3]
/** Apart from the other choices of a seed, which stay as they were before there were limits. */
const otherSeeds = 1_000_003

/** The keys that a payload may have. */
export const limitKeys = ['', 'key-0', 'key-1', 'child', ...scheduleNames] as const

/** Draws the limit of each job of one run, or none. */
export type DrawLimit = () => LimitDefinition<Payload> | undefined

export function planLimits(seed: number): DrawLimit | undefined {
  if (seed % limitedEvery !== limitedFrom) return undefined
  const chance = new Chance(seed + otherSeeds)
  const key = ({ key: own }: Payload): string => own
  const rate = (): LimitOptions['rate'] => ({
    total: { max: chance.whole(4, 20), per: '1s', burst: chance.whole(1, 3) },
  })
  const limits = [
    defineLimit<Payload>({ name: 'whole', concurrency: chance.whole(1, 2) }),
    defineLimit<Payload>({ name: 'shared', key, concurrency: chance.whole(1, 3) }),
    defineLimit<Payload>({ name: 'keyed', key, concurrency: { total: chance.whole(2, 3), perKey: 1 } }),
    defineLimit<Payload>({ name: 'fast', key, rate: rate() }),
  ]
  const some = [chance.pick(limits), chance.pick(limits)]
  return () => (chance.happens(0.7) ? chance.pick(some) : undefined)
}
