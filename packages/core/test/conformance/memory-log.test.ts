import { randomUUID } from 'node:crypto'
import { describeJobLog, quietLogger } from '@errand/testkit'
import { virtualClock } from '@errand/core/testing'
import { memoryLogOn } from '../../src/testing/memory-log.ts'
import { MemoryStore } from '../../src/engine/memory-store.ts'

describeJobLog('memory', {
  create: async () => {
    const store = new MemoryStore(randomUUID())
    const factory = memoryLogOn(store)
    const clock = virtualClock()
    const open = (logger = quietLogger) => factory.open({ logger, clock })
    const log = open()
    return {
      log,
      another: async (logger) => open(logger),
      advance: (ms) => clock.advance(ms),
      damage: (id) => {
        Object.assign(store.row(id) ?? {}, { version: 1n })
      },
      close: () => log.close(),
    }
  },
  capabilities: { advance: true, transactions: 'none', damage: true },
})
