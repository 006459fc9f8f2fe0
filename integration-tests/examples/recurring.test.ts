import { join } from 'node:path'
import { until } from '@errand/testkit'
import { describe, expect, test } from 'vitest'
import { logs, makeLog } from '../fleet/shared.ts'
import { errandCommand, examples, node, runToEnd } from './commands.ts'

const cwd = join(examples, 'recurring')

describe.each(logs)('the example of recurring work on %s', (name) => {
  test('does what its README says: two workers, two tenants, one job for each tick', async () => {
    const env = { ERRAND_LOG: makeLog(name), ERRAND_LOG_LEVEL: 'warn' }
    const run = (args: readonly string[]): Promise<string> => runToEnd(args, { cwd, env })
    await run([errandCommand, 'migrate'])
    await using one = node([errandCommand, 'work'], { cwd, env })
    await using two = node([errandCommand, 'work'], { cwd, env })
    const said = (): readonly string[] => `${one.stdout()}${two.stdout()}`.split('\n')

    const listed = await run(['app.ts', 'acme', 'zeta'])
    expect(listed).toMatch(/shop\.sync:acme \(every 5s\) comes next at .*Z\nshop\.sync:zeta \(every 5s\)/)
    await until(
      () => ['acme', 'zeta'].every((tenant) => said().filter((line) => line.includes(tenant)).length >= 2),
      { what: 'each tenant is synced twice', withinMs: 60_000 },
    )
    const synced = said().filter((line) => line.startsWith('synced'))
    expect(new Set(synced).size).toBe(synced.length)

    expect(await run([errandCommand, 'schedules', 'next', 'shop.close-day'])).toMatch(/02:30:00 \+0[12]:00/)
    await run([errandCommand, 'schedules', 'trigger', 'shop.close-day'])
    await until(() => said().some((line) => line.startsWith('closed')), { what: 'the day is closed' })
    await run([errandCommand, 'schedules', 'remove', 'shop.sync:acme'])
    expect(await run([errandCommand, 'schedules', 'list'])).not.toContain('acme')
    for (const worker of [one, two]) {
      worker.child.kill('SIGTERM')
      expect(await worker.exitCode, worker.output()).toBe(0)
    }
  })
})
