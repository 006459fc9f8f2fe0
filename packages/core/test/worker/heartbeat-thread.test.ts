import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { temporaryFolder } from '../temporary.ts'
import { startChild } from './child.ts'

// Processes take seconds to start on a busy machine.
vi.setConfig({ testTimeout: 60_000 })

test('beats go on while a handler blocks the event loop for twice the lease, within its deadline', async () => {
  await using folder = await temporaryFolder({ beats: '' })
  await using child = startChild('heartbeat-process.ts', [
    join(folder.path, 'beats'),
    'a handler blocks within its deadline',
  ])
  expect(await child.exit).toEqual({ code: 0, signal: null })
  expect(child.out).toContain('many beats, the lease holds: true\nstopped\n')
})

test('a process lives on when a handler that blocked it for twice the lease, within its deadline, has ended', async () => {
  await using folder = await temporaryFolder({ beats: '' })
  await using child = startChild('heartbeat-process.ts', [
    join(folder.path, 'beats'),
    'a blocking handler ends, and the loop does not turn at once',
  ])
  expect(await child.exit, child.err).toEqual({ code: 0, signal: null })
})

test.for(['a handler blocks past its deadline', 'the loop blocks while nothing runs'])(
  '%s: the process is killed, and says why',
  async (scenario) => {
    await using folder = await temporaryFolder({ beats: '' })
    await using child = startChild('heartbeat-process.ts', [join(folder.path, 'beats'), scenario])
    expect(await child.exit).toEqual({ code: null, signal: 'SIGKILL' })
    expect(child.out).toContain('started')
    expect(child.err).toContain('its event loop has been blocked')
  },
)

test('a process whose heartbeat thread dies exits, loudly and with an error', async () => {
  await using folder = await temporaryFolder({ beats: '' })
  await using child = startChild('heartbeat-process.ts', [join(folder.path, 'beats'), 'thread dies'])
  expect(await child.exit).toEqual({ code: 1, signal: null })
  expect(child.err).toContain('the heartbeat thread of worker w died')
  expect(child.err).toContain('the thread has a fault')
})

test('a process that was stopped for several leases lives on when it is continued', async () => {
  await using folder = await temporaryFolder({ beats: '' })
  await using child = startChild('heartbeat-process.ts', [
    join(folder.path, 'beats'),
    'stopped and continued',
  ])
  await child.says('started')
  child.kill('SIGSTOP')
  // The fault itself takes its time: two leases.
  await new Promise((resolve) => setTimeout(resolve, 1_200))
  child.kill('SIGCONT')
  child.kill('SIGUSR2')
  expect(await child.exit).toEqual({ code: 0, signal: null })
  expect(child.out).toContain('the lease holds: true\nstopped\n')
})
