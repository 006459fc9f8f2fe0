import { randomUUID } from 'node:crypto'
import { describeJobLog, describeLifecycleModel, quietLogger } from '@errand/testkit'
import type { JobLogHarness } from '@errand/testkit'
import { virtualClock } from '@errand/core/testing'
import { MemoryStore } from '../../src/engine/memory-store.ts'
import { AsyncMemory, openAsyncMemory } from '../engine/async-memory.ts'

const harness: JobLogHarness = {
  create: async () => {
    const clock = virtualClock()
    const database = new AsyncMemory(new MemoryStore(randomUUID()), clock)
    const log = openAsyncMemory(database, quietLogger)
    return {
      log,
      another: async (logger) => openAsyncMemory(database, logger ?? quietLogger),
      advance: (ms) => clock.advance(ms),
      damage: (id) => {
        Object.assign(database.store.row(id) ?? {}, { version: 1n })
      },
      close: () => log.close(),
    }
  },
  capabilities: { advance: true, transactions: 'none', damage: true },
}

describeJobLog('on an asynchronous database', harness)
describeLifecycleModel('on an asynchronous database', harness, { runs: 40 })
