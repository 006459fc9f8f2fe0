import { describe } from 'vitest'
import { describeLifecycleModel } from '@errand/testkit'
import { harness, url } from './harness.ts'

describe.skipIf(url === undefined)('on PostgreSQL', () => {
  describeLifecycleModel('postgres', harness, { runs: 12 })
})
