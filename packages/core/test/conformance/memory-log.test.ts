import { describeJobLog, quietLogger } from '@errand/testkit'
import { memoryLog, virtualClock } from '@errand/core/testing'

describeJobLog('memory', {
  create: async () => {
    const factory = memoryLog()
    const clock = virtualClock()
    const open = () => factory.open({ logger: quietLogger, clock })
    const log = open()
    return {
      log,
      another: async () => open(),
      advance: (ms) => clock.advance(ms),
      close: () => log.close(),
    }
  },
  capabilities: { advance: true, transactions: 'none' },
})
