import { describeJobLog } from '@errand/testkit'
import { harness } from './harness.ts'

describeJobLog('sqlite', harness)
