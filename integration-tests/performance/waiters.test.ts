import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { createErrand } from '@errand/core'
import { checkLogLines, quietLogger } from '@errand/testkit'
import { makeLog } from '../fleet/shared.ts'

const script = fileURLToPath(new URL('app/waiters.ts', import.meta.url))
/** The CPU of 2,000 jobs with a waiter each, by that of the same jobs without one. */
const bound = 1.3

it(`2,000 jobs that are awaited need at most ${bound} times the CPU of the same jobs without a waiter`, async () => {
  const log = makeLog('sqlite')
  await using errand = createErrand({ log, logger: quietLogger })
  await errand.migrate()
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [script, log, String(bound)])
  checkLogLines(stderr)
  const { waited, plain } = JSON.parse(stdout) as { readonly waited: number; readonly plain: number }
  expect(waited / plain).toBeLessThanOrEqual(bound)
})
