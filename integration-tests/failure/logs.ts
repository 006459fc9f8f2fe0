import type { Config } from '@errand/core'
import { memoryLog } from '@errand/core/testing'
import { makeEmptyLog, logs as reachable } from '../fleet/shared.ts'

/** An empty log of each kind that this run can reach, gone with its test. */
export const logs: Readonly<Record<string, () => Config['log']>> = {
  memory: () => memoryLog(),
  ...Object.fromEntries(reachable.map((name) => [name, () => makeEmptyLog(name)])),
}
