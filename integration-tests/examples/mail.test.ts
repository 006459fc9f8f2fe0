import { join } from 'node:path'
import { until } from '@errand/testkit'
import { describe, expect, test } from 'vitest'
import { logs, makeLog } from '../fleet/shared.ts'
import { errandCommand, examples, node, runToEnd } from './commands.ts'

const cwd = join(examples, 'mail')

type Seen = Readonly<
  Record<string, { readonly sent: number; readonly mostAtOnce: number; readonly refused: number }>
>

describe.each(logs)('the example of a mail API with limits on %s', (name) => {
  test('does what its README says: no more than five at once, and a 429 holds up only its tenant', async () => {
    const api = node(['mail-api.ts'], { cwd, env: { PORT: '0' } })
    await using _api = api
    const [, port] = await api.says(/listens on port (\d+)/)
    const url = `http://127.0.0.1:${port}`
    const env = { ERRAND_LOG: makeLog(name), ERRAND_LOG_LEVEL: 'warn', MAIL_API: url }
    const run = (args: readonly string[]): Promise<string> => runToEnd(args, { cwd, env })
    const seen = async (): Promise<Seen> => (await (await fetch(url)).json()) as Seen
    await run([errandCommand, 'migrate'])
    await run(['app.ts', 'acme', '30'])
    // Nobody has declared the limit yet.
    expect(await run([errandCommand, 'limits', 'list'])).toMatch(/mail-api .* 30 +no worker declares it/)
    await using one = node([errandCommand, 'work'], { cwd, env })
    await using two = node([errandCommand, 'work'], { cwd, env })
    await run(['app.ts', 'zeta', '3'])
    await until(
      async () => {
        const { acme, zeta } = await seen()
        return acme?.sent === 30 && zeta?.sent === 3
      },
      { what: 'all mails are sent', withinMs: 60_000 },
    )
    const { acme, zeta } = await seen()
    expect(acme!.mostAtOnce).toBeLessThanOrEqual(5)
    // Those that had a place when the API said so the first time, and those whose place came free before the key was closed.
    expect(acme!.refused).toBeGreaterThan(0)
    expect(acme!.refused).toBeLessThan(10)
    expect(zeta!.refused).toBe(0)

    expect(await run([errandCommand, 'limits', 'set', 'mail-api', '--per-key', '2'])).toContain(
      '2 per key at a time, 20/1s (burst 20) per key',
    )
    expect(await run([errandCommand, 'limits', 'reset', 'mail-api'])).toContain('5 per key at a time')
    for (const worker of [one, two]) {
      worker.child.kill('SIGTERM')
      expect(await worker.exitCode, worker.output()).toBe(0)
    }
  })
})
