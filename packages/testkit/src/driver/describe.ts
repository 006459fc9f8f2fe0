import { describe } from 'vitest'
import type { DriverHarness } from './harness.ts'
import { describeDelivery } from './topics/delivery.ts'
import { describeGrants } from './topics/grants.ts'
import { describeHandBack } from './topics/hand-back.ts'
import { describeHostile } from './topics/hostile.ts'
import { describePacked } from './topics/packed.ts'
import { describeProcesses } from './topics/processes.ts'
import { describeQueues } from './topics/queues.ts'
import { describeSevered } from './topics/severed.ts'
import { hangsAfterMs } from '../slowness.ts'

/**
 * Everything that core expects of a driver, as tests. `docs/writing-a-driver.md` has the rules behind them.
 * @example describeDriver('my broker', { create: () => openMine(), capabilities: { delivers: 'tickets', depth: 'exact' } })
 */
export function describeDriver(name: string, harness: DriverHarness): void {
  // Longer than any wait on a condition, so that the condition is what a failure names.
  describe(`driver ${name}`, { timeout: hangsAfterMs, concurrent: harness.concurrent ?? false }, () => {
    describeDelivery(harness)
    describeHandBack(harness)
    describeQueues(harness)
    describeProcesses(harness)
    describeGrants(harness)
    describeHostile(harness)
    describePacked(harness)
    describeSevered(harness)
  })
}
