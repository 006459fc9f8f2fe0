import { expect, test } from 'vitest'
import { startChild } from './child.ts'
import type { Child } from './child.ts'

/** A second signal so close to the first is the same one, so it is sent until it is heard. */
async function pressAgain(child: Child, signal: NodeJS.Signals): Promise<void> {
  const pressing = setInterval(() => child.kill(signal), 50)
  await child.says('asked to stop again').finally(() => clearInterval(pressing))
}

test('two signals at once, as from a terminal and a runner, are one: nothing is aborted', async () => {
  await using child = startChild('worker-process.ts', ['finishes'])
  await child.says('running')
  child.kill('SIGINT')
  child.kill('SIGTERM')
  await child.says('stopping')
  expect(await child.exit).toEqual({ code: 0, signal: null })
  expect(child.out).toBe('ready\nrunning\nstopping\nfinished\nafter: succeeded\nworker finished\n')
})

test.for(['factory', 'connect'])(
  'SIGTERM while the worker waits in its %s is no error: exit 0',
  async (scenario) => {
    await using child = startChild('starting-process.ts', [scenario])
    await child.says('starting')
    child.kill('SIGTERM')
    expect(await child.exit, child.err).toEqual({ code: 0, signal: null })
    expect(child.out).toBe('starting\ntold to stop\nstopped\n')
  },
)

test('what a factory has opened too late is closed again', async () => {
  await using child = startChild('starting-process.ts', ['late'])
  await child.says('starting')
  child.kill('SIGTERM')
  expect(await child.exit, child.err).toEqual({ code: 0, signal: null })
  expect(child.out).toBe('starting\ntold to stop\nopened\nclosed\nstopped\n')
})

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
  await pressAgain(child, 'SIGTERM')
  expect(await child.exit).toEqual({ code: 143, signal: null })
  expect(child.out).toContain('aborted: E_SHUTDOWN\nafter: released\n')
})

test('a handler that ignores the second signal as well does not hold the process', async () => {
  await using child = startChild('worker-process.ts', ['deaf'])
  await child.says('running')
  child.kill('SIGINT')
  await child.says('stopping')
  await pressAgain(child, 'SIGINT')
  expect(await child.exit).toEqual({ code: 130, signal: null })
  expect(child.out).toContain('a handler ignored its abort signal while the worker stopped')
  expect(child.out).toContain('after: released')
})
