import { describe, vi } from 'vitest'
import { describeJobLog } from '@errand/testkit'
import { harness, url } from './harness.ts'

// Durable commits, thousands in some stories, on whatever disk the machine has.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 })

describe.skipIf(url === undefined)('on PostgreSQL', () => {
  describeJobLog('postgres', harness)
})
