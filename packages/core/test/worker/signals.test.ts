import { expect, test } from 'vitest'
import { startChild } from './child.ts'

test.for(['SIGTERM', 'SIGINT'] as const)(
  '%s drains: what runs finishes, and the process exits in order',
  async (signal) => {
    await using child = startChild('worker-process.ts', ['finishes'])
    await child.says('running')
    child.kill(signal)
    expect(await child.exit).toEqual({ code: 0, signal: null })
    expect(child.out).toBe('ready\nrunning\nstopping\nfinished\nafter: succeeded\nworker finished\n')
  },
)

test('a second signal aborts what runs, gives it back, and the process exits with an error', async () => {
  await using child = startChild('worker-process.ts', ['waits'])
  await child.says('running')
  child.kill('SIGTERM')
  await child.says('stopping')
  child.kill('SIGTERM')
  expect(await child.exit).toEqual({ code: 143, signal: null })
  expect(child.out).toContain('aborted: E_SHUTDOWN\nafter: released\n')
})

test('a handler that ignores the second signal as well does not hold the process', async () => {
  await using child = startChild('worker-process.ts', ['deaf'])
  await child.says('running')
  child.kill('SIGINT')
  await child.says('stopping')
  child.kill('SIGINT')
  expect(await child.exit).toEqual({ code: 130, signal: null })
  expect(child.out).toContain('a handler ignored its abort signal while the worker stopped')
  expect(child.out).toContain('after: released')
})
