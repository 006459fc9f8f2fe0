import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describeDriver, quietLogger } from '@errand/testkit'
import { memoryLog } from '@errand/core/testing'
import { systemClock } from '@errand/core/ports'
import { spool } from './spool-driver.ts'

describeDriver('spool', {
  create: async () => {
    const folder = mkdtempSync(join(tmpdir(), 'errand-spool-'))
    const context = { logger: quietLogger, clock: systemClock }
    const log = memoryLog().open(context)
    const drivers = [spool({ folder }).open({ ...context, log })]
    return {
      driver: drivers[0]!,
      another: async () => {
        const driver = spool({ folder }).open({ ...context, log })
        drivers.push(driver)
        return driver
      },
      publishRaw: async (queue, message) => {
        await mkdir(join(folder, queue), { recursive: true })
        await writeFile(join(folder, queue, `100-0-${randomUUID()}.ticket`), message)
      },
      close: async () => {
        await Promise.all(drivers.map((driver) => driver.close()))
        rmSync(folder, { recursive: true, force: true })
      },
    }
  },
  capabilities: { delivers: 'tickets', depth: 'exact', publishRaw: true },
})
