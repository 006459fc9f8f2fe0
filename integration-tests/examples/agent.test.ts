import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { logs, makeLog } from '../fleet/shared.ts'
import { errandCommand, examples, node, runToEnd } from './commands.ts'

const cwd = join(examples, 'agent')

interface Seen {
  readonly paid: number
  readonly failed: number
}

describe.each(logs)('the example of an agent on %s', (log) => {
  test('does what its README says: it is killed while it uses a tool, and pays for nothing twice', async () => {
    const api = node(['model-api.ts'], { cwd, env: { PORT: '0' } })
    await using _api = api
    const [, port] = await api.says(/listens on port (\d+)/)
    const url = `http://127.0.0.1:${port}`
    const env = { ERRAND_LOG: makeLog(log), ERRAND_LOG_LEVEL: 'error', MODEL_API: url }
    const run = (args: readonly string[]): Promise<string> => runToEnd(args, { cwd, env })
    await run([errandCommand, 'migrate'])
    const [, job = ''] = /is job (\S+)/.exec(await run(['app.ts', 'How much warmer?'])) ?? []

    // Its second tool takes longer than this test lets it live.
    await using one = node([errandCommand, 'work'], { cwd, env: { ...env, TOOL_MS: '3000' } })
    await one.says(/turn 2: uses weather Cairo/)
    one.child.kill('SIGKILL')
    await expect(one.exitCode).rejects.toThrow('ended by SIGKILL')

    await using two = node([errandCommand, 'work'], { cwd, env: { ...env, TOOL_MS: '0' } })
    await two.says(/How much warmer\? Cairo is 27 degrees warmer than Oslo/)
    // The turn in which the first one died, and nothing before it.
    expect(two.stdout()).toMatch(/^turn 2: uses weather Cairo\nturn 3: asks the model/)
    const seen = (await (await fetch(url)).json()) as Seen
    expect(seen.paid).toBe(4)
    expect(seen.failed).toBeGreaterThan(0)
    const shown = await run([errandCommand, 'jobs', 'show', job])
    for (const name of ['model-1', 'tool-1', 'model-4']) expect(shown).toContain(name)
    two.child.kill('SIGTERM')
    expect(await two.exitCode, two.output()).toBe(0)
  })
})
