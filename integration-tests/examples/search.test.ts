import { join } from 'node:path'
import { until } from '@errand/testkit'
import { describe, expect, test } from 'vitest'
import { lasts } from '../fleet/looks.ts'
import { logs, makeLog } from '../fleet/shared.ts'
import { errandCommand, examples, node, runToEnd } from './commands.ts'

const cwd = join(examples, 'search')

describe.each(logs)('the example of a search index on %s', (name) => {
  test('does what its README says: five edits are indexed once, and a small tenant goes second', async () => {
    const env = { ERRAND_LOG: makeLog(name), ERRAND_LOG_LEVEL: 'warn' }
    const run = (args: readonly string[]): Promise<string> => runToEnd(args, { cwd, env })
    await run([errandCommand, 'migrate'])
    expect(await run(['app.ts', 'edit', 'acme', 'notes'])).toMatch(
      /version 1 of notes: added\n(version \d of notes: replaced\n){4}/,
    )
    await run(['app.ts', 'import', 'acme', '200'])
    await run(['app.ts', 'import', 'zeta', '1'])
    // All of them are due then.
    await lasts(1_100)
    await using worker = node([errandCommand, 'work'], { cwd, env })
    const indexed = (): readonly string[] => worker.stdout().match(/^indexed .*$/gm) ?? []
    await until(() => indexed().length === 202, { what: 'all documents are indexed', withinMs: 60_000 })
    worker.child.kill('SIGTERM')
    expect(await worker.exitCode, worker.output()).toBe(0)

    expect(indexed().filter((line) => line.includes('notes'))).toEqual(['indexed notes of acme: version 5'])
    expect(indexed().findIndex((line) => line.includes('of zeta'))).toBeLessThan(5)
  })
})
