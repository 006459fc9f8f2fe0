import { spawnSync } from 'node:child_process'
import { expect, it } from 'vitest'

const deprecated = `process.emitWarning('that is over', 'DeprecationWarning')`

it('a test that does what is deprecated fails', () => {
  expect(process.throwDeprecation).toBe(true)
})

it('a process that a test starts ends where it does what is deprecated, and so does its thread', () => {
  const thread = `new (require('node:worker_threads').Worker)(${JSON.stringify(deprecated)}, { eval: true, execArgv: [] })`
  for (const script of [deprecated, thread]) {
    const { status, stderr } = spawnSync(process.execPath, ['-e', script], { encoding: 'utf8' })
    expect(stderr).toContain('that is over')
    expect(status).toBe(1)
  }
})
