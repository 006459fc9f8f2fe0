import { describe } from 'vitest'
import { describeJobLog } from '@errand/testkit'
import { harness, url } from './harness.ts'

describe.skipIf(url === undefined)('on PostgreSQL', () => {
  describeJobLog('postgres', harness)
})
