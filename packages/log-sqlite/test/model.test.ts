import { describeLifecycleModel } from '@errand/testkit'
import { harness } from './harness.ts'

describeLifecycleModel('sqlite', harness, { runs: 30 })
