import { everySqsFault } from '@errand/testkit/sqs-faults'
import { makers as shared, whileSqs } from '../faults/makers.ts'
import type { Fleet } from '../fleet/fleet.ts'
import { lasts } from '../fleet/looks.ts'
import type { Choice } from './choices.ts'
import type { SoakFault } from './faults.ts'
import { processMakers } from './processes.ts'

/** Makes a fault, ends it, and waits until the fleet has recovered. */
export type Maker = (fleet: Fleet, choice: Choice) => Promise<void>

/** A time between the shortest and the longest, by the choice's share. */
function between(shortestMs: number, longestMs: number, { share }: Choice): number {
  return Math.round(shortestMs + share * (longestMs - shortestMs))
}

const failing = ['throttle', 'unavailable', 'missingQueue'] as const

/** A fault of the stories, with a random length. */
const lasting =
  (fault: keyof typeof shared, shortestMs = 1, longestMs = 1): Maker =>
  (fleet, choice) =>
    shared[fault](fleet, between(shortestMs, longestMs, choice))

/** How each fault is made. */
export const makers: Readonly<Record<SoakFault, Maker>> = {
  ...processMakers,
  'connections closed': lasting('connections closed'),
  'connections torn': lasting('connections torn'),
  'broker restarted': lasting('broker restarted', 1_000, 10_000),
  'broker killed': lasting('broker killed', 1_000, 10_000),
  'broker wiped': lasting('broker wiped', 100, 10_000),
  'memory alarm': lasting('memory alarm'),
  'queue purged': lasting('queue purged'),
  'queue deleted': lasting('queue deleted'),
  'confirm lost': lasting('confirm lost', 1_000, 8_000),
  'database backends killed': lasting('database backends killed'),
  'database connections torn': lasting('database connections torn'),
  'database locked': lasting('database locked', 1_000, 12_000),
  'database slow': lasting('database slow', 2_000, 8_000),

  async 'database replies lost'(fleet, choice) {
    const { log } = fleet.place.proxies
    log?.blackHole('down')
    await lasts(between(1_000, 6_000, choice))
    log?.heal()
    await fleet.takesAgain()
  },

  async 'database down'(fleet, choice) {
    const { server } = fleet.place
    await server?.kill()
    await lasts(between(1_000, 20_000, choice))
    await server?.start()
    await fleet.takesAgain()
  },

  'SQS delete fails': (fleet, choice) => whileBroken(fleet, everySqsFault(0.2), choice),

  'SQS throttled': (fleet, choice) => {
    const fault = failing[Math.floor(choice.which * failing.length)] ?? failing[0]
    return whileBroken(fleet, { [fault]: 1 }, choice)
  },
}

function whileBroken(fleet: Fleet, rates: Parameters<typeof whileSqs>[1], choice: Choice): Promise<void> {
  return whileSqs(fleet, rates, () =>
    Promise.all([fleet.dispatchGoesOn(), lasts(between(2_000, 8_000, choice))]),
  )
}
