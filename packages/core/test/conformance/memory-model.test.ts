import { describeLifecycleModel, quietLogger } from '@errand/testkit'
import { memoryLog, virtualClock } from '@errand/core/testing'

describeLifecycleModel(
  'memory',
  {
    create: async () => {
      const factory = memoryLog()
      const clock = virtualClock()
      const log = factory.open({ logger: quietLogger, clock })
      return {
        log,
        another: async () => factory.open({ logger: quietLogger, clock }),
        advance: (ms) => clock.advance(ms),
        close: () => log.close(),
      }
    },
    capabilities: { advance: true, transactions: 'none' },
  },
  { runs: 200 },
)
