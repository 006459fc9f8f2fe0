import { describe } from 'vitest'
import { describeLifecycleModel } from '@errand/testkit'
import { harness } from './harness.ts'
import { url } from './stage.ts'

describe.skipIf(url === undefined)('on PostgreSQL', () => {
  describeLifecycleModel('postgres', harness, { runs: 12 })
})
