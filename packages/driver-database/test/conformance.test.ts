import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from 'pg'
import { describe, inject } from 'vitest'
import { postgres } from '@errand/log-postgres'
import { sqlite } from '@errand/log-sqlite'
import { describeDriver, quietLogger, steppedClock } from '@errand/testkit'
import type { DriverHarness, DriverUnderTest } from '@errand/testkit'
import { memoryLog } from '@errand/core/testing'
import type { Driver, JobLog, LogFactory } from '@errand/core/ports'
import { database } from '../src/index.ts'

/** Every driver has an instance of the log of its own, as every process would. */
async function on(factory: LogFactory, remove: () => void | Promise<void>): Promise<DriverUnderTest> {
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
      await remove()
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

const url = inject('postgres')

describe.skipIf(url === undefined)('with a server', () => {
  describeDriver('database on PostgreSQL', {
    create: async () => {
      const schema = `driver_${randomUUID().replaceAll('-', '').slice(0, 12)}`
      return on(postgres({ url: url ?? '', schema }), async () => {
        const client = new Client({ connectionString: url })
        await client.connect()
        await client.query(`drop schema if exists ${schema} cascade`)
        await client.end()
      })
    },
    capabilities,
  })
})
