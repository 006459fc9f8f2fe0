import { afterAll, beforeAll, describe, test } from 'vitest'
import type { Recovery } from '@errand/testkit'
import { faults, notAt } from './faults.ts'
import type { FaultName } from './faults.ts'
import { startFleet } from '../fleet/fleet.ts'
import type { Fleet } from '../fleet/fleet.ts'
import { missingAt, openPlace, findPlace } from '../fleet/place.ts'
import type { Story } from './story.ts'

/** What a test tells the report. */
export interface Told {
  readonly fault: FaultName
  readonly place: string
  readonly recoveries: readonly Recovery[]
}

declare module 'vitest' {
  interface TaskMeta {
    fault?: Told
  }
}

/** Every story that can happen on the place, one after another, to one fleet. */
export function describePlace(place: string, stories: readonly Story[]): void {
  const kind = findPlace(place)
  describe.skipIf(missingAt(kind))(`a fleet on ${kind.title}`, () => {
    let fleet: Fleet | undefined
    let acts: (() => void | Promise<void>)[] = []
    const open = async (): Promise<Fleet> => {
      const atTheEnd = (act: () => void | Promise<void>): void => void acts.push(act)
      return startFleet(await openPlace(place, atTheEnd), { finally: atTheEnd })
    }
    const close = async (): Promise<void> => {
      fleet = undefined
      const closing = acts.toReversed()
      acts = []
      for (const act of closing) await act()
    }
    beforeAll(async () => {
      fleet = await open()
    })
    afterAll(close)

    for (const { fault, run } of stories) {
      if (notAt(fault, kind) !== undefined) continue
      const { fault: title, how } = faults[fault]
      test(`${title} (${how})`, async ({ task }) => {
        let good = false
        try {
          fleet ??= await open()
          await fleet.begin()
          await run(fleet)
          await fleet.endsWell()
          good = true
        } finally {
          task.meta.fault = { fault, place, recoveries: fleet?.recoveries ?? [] }
          // The next story must not begin with what a failed one has left behind.
          if (!good) await close()
        }
      })
    }
  })
}
