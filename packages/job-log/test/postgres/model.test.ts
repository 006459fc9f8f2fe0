import { describe, vi } from 'vitest'
import { describeLifecycleModel } from '@errand/testkit'
import { harness, url } from './harness.ts'

vi.setConfig({ hookTimeout: 60_000 })

describe.skipIf(url === undefined)('on PostgreSQL', () => {
  describeLifecycleModel('postgres', harness, { runs: 12 })
})
