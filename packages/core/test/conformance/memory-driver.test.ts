import { describeDriver, quietLogger } from '@errand/testkit'
import { memoryDriver, memoryLog, virtualClock } from '@errand/core/testing'
import type { Driver } from '@errand/core/ports'

describeDriver('memory', {
  create: async () => {
    const factory = memoryDriver()
    const clock = virtualClock()
    const log = memoryLog().open({ logger: quietLogger, clock })
    const opened: Driver[] = []
    const open = (): Driver => {
      const driver = factory.open({ log, logger: quietLogger, clock })
      opened.push(driver)
      return driver
    }
    return {
      driver: open(),
      another: async () => open(),
      advance: (ms) => clock.advance(ms),
      close: async () => {
        await Promise.all(opened.map((driver) => driver.close()))
      },
    }
  },
  capabilities: { delivers: 'tickets', depth: 'exact' },
})
