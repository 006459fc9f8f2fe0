// Jobs with a limit that meet a fault.
import { expect } from 'vitest'
import { scaleLimit } from '@errand/testkit'
import { capped } from '../../fleet/app/jobs.ts'
import { openGate } from '../../fleet/app/ledger.ts'
import { afterCrashMs } from '../../fleet/limits.ts'
import { present } from '../makers.ts'
import { story } from '../story.ts'
import type { Story } from '../story.ts'
import { expectTypes, findRunner, hasBegun, newName, ranAgain } from './common.ts'

export const limitStories: readonly Story[] = [
  story('killed with a place of a limit', async (fleet) => {
    const gate = newName('gate')
    const receipts = await fleet.errand.dispatchMany(Array.from({ length: 5 }, () => capped.with({ gate })))
    const [first = '', second = '', third = ''] = receipts.map(({ id }) => id)
    const countPlaces = async (): Promise<number> => {
      const { ready, running } = present(await fleet.errand.limits.get('fleet.cap'))
      return ready + running
    }
    const runner = await findRunner(fleet, first)
    await hasBegun(fleet, second)
    expect(await countPlaces()).toBe(2)
    runner.signal('SIGKILL')
    const sinceMs = performance.now()
    const runsAgain = (): Promise<boolean> => ranAgain(fleet, [first], runner.id)
    await fleet.recovers('its job runs again', afterCrashMs, runsAgain, sinceMs)
    // Its place was its own all the time.
    expect(await countPlaces()).toBe(2)
    await expectTypes(fleet, third, ['dispatched'])
    openGate(`${fleet.ledger}.${gate}`)
    for (const receipt of receipts) await fleet.errand.result(receipt, { timeout: scaleLimit(20_000) })
    await expectTypes(fleet, first, ['dispatched', 'unblocked', 'started', 'lost', 'started', 'succeeded'])
    await expectTypes(fleet, third, ['dispatched', 'unblocked', 'started', 'succeeded'])
    expect(await countPlaces()).toBe(0)
  }),
]
