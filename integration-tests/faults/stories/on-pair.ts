// A small fleet on a log with two servers, and a name that leads to one of them.
import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'vitest'
import { createErrand } from '@errand/core'
import type { Errand, JobEvent } from '@errand/core'
import { quietLogger } from '@errand/testkit'
import { startPair } from '../../failover/pair.ts'
import type { Pair } from '../../failover/pair.ts'
import { isAway, startFleet } from '../../fleet/fleet.ts'
import type { Fleet } from '../../fleet/fleet.ts'
import { afterReturnMs } from '../../fleet/limits.ts'
import { pause } from '../../fleet/looks.ts'
import type { Finally } from '../../fleet/scene.ts'
import { withEnd } from './common.ts'

/** All its parts, the test too, reach the log by the name of the pair. */
export interface OnPair {
  readonly pair: Pair
  readonly fleet: Fleet
  /** Every worker takes jobs of the promoted server, within ten seconds, and runs some. */
  takesAgain(): Promise<void>
  /** Starts a follower that only reads the events of the log, from the first one on. */
  follow(): Following
}

export interface Following {
  readonly events: readonly JobEvent[]
  /** What ended it. If the log goes away, it does not end: it follows again from its cursor. */
  readonly error: unknown
}

/** Uses its own servers: what happens to them must not be in the fleet's history, which is checked as a whole. */
export async function onPair(outer: Fleet, act: (on: OnPair) => Promise<void>): Promise<void> {
  await withEnd(async (atTheEnd) => {
    const pair = await startPair(atTheEnd)
    const { kind } = outer.place
    const url = kind.log.toUrl(pair.url, 'faults', outer.place.folder)
    const [log, driver] = [kind.log.hasty?.(url) ?? url, outer.place.makeOwnDriver()]
    const folder = mkdtempSync(join(outer.place.folder, 'pair-'))
    const env = { ERRAND_LOG: log, ERRAND_DRIVER: driver ?? 'database' }
    const place = { ...outer.place, folder, log, driver, env }
    const fleet = await startFleet(place, { workers: 2, slots: 5, finally: atTheEnd })
    await fleet.begin()
    await act({
      pair,
      fleet,
      async takesAgain() {
        const what = 'every worker takes jobs of the promoted server'
        await outer.recovers(what, afterReturnMs, () => fleet.isTaking())
        await fleet.everyWorkerRuns()
        await fleet.goesOn()
      },
      follow: () => follow(createErrand({ log, logger: quietLogger }), atTheEnd),
    })
    expect(fleet.violations).toEqual([])
  })
}

function follow(errand: Errand, atTheEnd: Finally): Following {
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
