import { join } from 'node:path'
import { until } from '@errand/testkit'
import { describe, expect, test } from 'vitest'
import { logs, makeFolder, makeLog } from '../fleet/shared.ts'
import { errandCommand, examples, node, runToEnd } from './commands.ts'

const cwd = join(examples, 'import')

describe.each(logs)('the example of an import on %s', (log) => {
  test('does what its README says: its reader is killed in the middle, and each part is there once', async () => {
    const folder = makeFolder()
    const file = join(folder, 'customers.csv')
    const env = {
      ERRAND_LOG: makeLog(log),
      ERRAND_LOG_LEVEL: 'warn',
      CUSTOMERS: join(folder, 'customers.db'),
      READ_PAUSE_MS: '100',
    }
    const run = (args: readonly string[]): Promise<string> => runToEnd(args, { cwd, env })
    await run([errandCommand, 'migrate'])
    await run(['app.ts', 'make', file, '10000', '1234'])
    const [, flow = ''] = /is flow (\S+)/.exec(await run(['app.ts', 'import', file])) ?? []

    await using one = node([errandCommand, 'work'], { cwd, env })
    // Two seconds before it has read all of the file.
    await until(() => (one.output().match(/^part \d+ is imported$/gm) ?? []).length >= 3, {
      what: 'three parts are imported',
      withinMs: 60_000,
    })
    one.child.kill('SIGKILL')
    await expect(one.exitCode).rejects.toThrow('ended by SIGKILL')
    expect(one.output()).not.toContain('has 20 parts')

    await using two = node([errandCommand, 'work'], { cwd, env: { ...env, READ_PAUSE_MS: '0' } })
    const [reported] = await two.says(/the import of .* rows/)
    expect(reported).toContain('has succeeded: 20 of 21 jobs, 1 failed, 9500 rows')
    expect(two.output()).toContain('has 20 parts')
    expect(await run([errandCommand, 'flows', 'show', flow])).toMatch(/import\.rows.*failed/)
    two.child.kill('SIGTERM')
    expect(await two.exitCode, two.output()).toBe(0)
  })
})
