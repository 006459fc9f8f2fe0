import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { logs, makeFolder, makeLog } from '../fleet/shared.ts'
import { errandCommand, examples, node, runToEnd } from './commands.ts'

const cwd = join(examples, 'report')

describe.each(logs)('the example of a report on %s', (log) => {
  test('does what its README says: a worker is killed among the pages, and the report has them all', async () => {
    const file = join(makeFolder(), 'report.md')
    const env = { ERRAND_LOG: makeLog(log), ERRAND_LOG_LEVEL: 'error' }
    const run = (args: readonly string[]): Promise<string> => runToEnd(args, { cwd, env })
    await run([errandCommand, 'migrate'])
    const [, flow = ''] = /is flow (\S+)/.exec(await run(['app.ts', '2026-11', file])) ?? []
    expect(await run([errandCommand, 'flows', 'show', flow])).toMatch(/report\.build.*blocked/)

    // Four of six pages take longer than this test lets it live.
    await using one = node([errandCommand, 'work'], { cwd, env: { ...env, PAGE_MS: '1500' } })
    await one.says(/rendered \w+\n(.*\n)*rendered \w+\n/)
    one.child.kill('SIGKILL')
    await expect(one.exitCode).rejects.toThrow('ended by SIGKILL')

    await using two = node([errandCommand, 'work'], { cwd, env: { ...env, PAGE_MS: '0' } })
    await two.says(/report\.md is written/)
    expect(await run([errandCommand, 'flows', 'follow', flow])).toContain('succeeded')
    expect(readFileSync(file, 'utf8')).toBe(`# Report of 2026-11
Sales: 12345
- All about sales.
- All about returns.
- All about stock.
- All about staff.
- All about press.
- All about plans.
Audit: a receipt is missing
`)
    two.child.kill('SIGTERM')
    expect(await two.exitCode, two.output()).toBe(0)
  })
})
