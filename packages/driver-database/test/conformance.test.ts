import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sqlite } from '@errand/job-log'
import { describeDriver, quietLogger, steppedClock } from '@errand/testkit'
import type { DriverHarness, DriverUnderTest } from '@errand/testkit'
import { memoryLog } from '@errand/core/testing'
import type { Driver, JobLog, LogFactory } from '@errand/core/ports'
import { database } from '../src/index.ts'

/** Every driver has an instance of the log of its own, as every process would. */
async function on(factory: LogFactory, remove: () => void): Promise<DriverUnderTest> {
  const context = { logger: quietLogger, clock: steppedClock() }
  const logs: JobLog[] = []
  const drivers: Driver[] = []
  const openLog = (): JobLog => {
    const log = factory.open(context)
    logs.push(log)
    return log
  }
  const openDriver = (): Driver => {
    const driver = database({ poll: '200ms' }).open({ ...context, log: openLog() })
    drivers.push(driver)
    return driver
  }
  const log = openLog()
  await log.migrate()
  await log.connect()
  return {
    driver: openDriver(),
    another: async () => openDriver(),
    log,
    close: async () => {
      await Promise.all(drivers.map((driver) => driver.close()))
      await Promise.all(logs.map((each) => each.close()))
      remove()
    },
  }
}

const capabilities: DriverHarness['capabilities'] = { delivers: 'claims', depth: 'unknown' }

describeDriver('database on memory', { create: () => on(memoryLog(), () => {}), capabilities })

describeDriver('database on SQLite', {
  create: async () => {
    const folder = mkdtempSync(join(tmpdir(), 'errand-database-driver-'))
    return on(sqlite({ file: join(folder, 'jobs.db') }), () =>
      rmSync(folder, { recursive: true, force: true }),
    )
  },
  capabilities,
})
