import { randomUUID } from 'node:crypto'
import { engineLog } from '../engine/job-log.ts'
import { TopicBus } from '../engine/topic-bus.ts'
import { ErrandError } from '../errors.ts'
import type { JobLog, LogContext, LogFactory } from '../ports/job-log.ts'
import { MemoryStore } from '../engine/memory-store.ts'

/**
 * The reference job log, in this process's memory: for tests. Every instance that one factory opens works on the same
 * jobs. It cannot join a transaction: what is dispatched with `tx` is stored at once, and stays when the caller rolls back.
 * @example const errand = createErrand({ log: memoryLog(), driver: database() })
 */
export function memoryLog(): LogFactory {
  return memoryLogOn(new MemoryStore(randomUUID().slice(0, 8)))
}

/** Over a store whose rows the caller can reach. */
export function memoryLogOn(store: MemoryStore): LogFactory {
  const bus = new TopicBus()
  return { errand: 'job-log', name: 'memory', open: (context) => open(store, bus, context) }
}

function open(store: MemoryStore, bus: TopicBus, { clock, logger }: LogContext): JobLog {
  let closed = false
  // One after another, as transactions are; and never in the caller's own tick, as no real log would answer.
  const run = async <T>(rules: (on: MemoryStore, now: number) => T): Promise<T> => {
    await Promise.resolve()
    if (closed) throw new ErrandError('E_CLOSED', 'this job log has been closed')
    return rules(store, clock.now())
  }
  return engineLog({
    name: 'memory',
    logger,
    write: run,
    read: run,
    inside: (_tx, rules) => run(rules),
    connect: () =>
      run((on) => {
        const { logId, epoch, transfer } = on.facts()
        return { logId, epoch, schemaVersion: 1, transfer }
      }),
    migrate: (options) =>
      run((on) => {
        if (options?.restored) on.saveFacts({ ...on.facts(), epoch: on.facts().epoch + 1 })
        return { from: 1, to: 1 }
      }),
    notify: async (topics) => bus.notify(topics),
    wakeups: (topics, signal) => bus.listen(topics, signal),
    diagnose: async () => ({ findings: [] }),
    close: async () => {
      closed = true
    },
  })
}
