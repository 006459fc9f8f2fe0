import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { systemClock } from '@errand/core/ports'
import type { Clock, JobLog } from '@errand/core/ports'
import { quietLogger } from '@errand/testkit'
import { sqlite } from '../src/index.ts'

/** A folder of the test's own, gone afterwards. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'errand-sqlite-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** A log on a file, closed when the test ends. */
export function openLog(file: string, clock: Clock = systemClock): JobLog {
  const log = sqlite({ file }).open({ logger: quietLogger, clock })
  onTestFinished(() => log.close())
  return log
}
