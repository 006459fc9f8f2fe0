import { describe } from 'vitest'
import { describeJobLog } from '@errand/testkit'
import { harness } from './harness.ts'
import { url } from './stage.ts'

describe.skipIf(url === undefined)('on PostgreSQL', () => {
  describeJobLog('postgres', harness)
})
