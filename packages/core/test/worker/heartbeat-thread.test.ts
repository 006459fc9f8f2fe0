import { join } from 'node:path'
import { scaleLimit } from '@errand/testkit'
import { expect, onTestFinished, test } from 'vitest'
import { temporaryFolder } from '../temporary.ts'
import { startChild } from './child.ts'

async function inProcess(scenario: string) {
  const folder = await temporaryFolder({ beats: '' })
  onTestFinished(() => folder[Symbol.asyncDispose]())
  // A busy machine keeps a thread waiting as well.
  const leaseMs = scaleLimit(600)
  const child = startChild('heartbeat-process.ts', [join(folder.path, 'beats'), scenario, String(leaseMs)])
  onTestFinished(() => child[Symbol.asyncDispose]())
  return { child, leaseMs }
}

test('beats go on while a handler blocks the event loop for twice the lease, within its deadline', async () => {
  const { child } = await inProcess('a handler blocks within its deadline')
  expect(await child.exit).toEqual({ code: 0, signal: null })
  expect(child.out).toContain('many beats, the lease holds: true\nstopped\n')
})

test('a process lives on after a handler has blocked it for twice the lease, within its deadline', async () => {
  const { child } = await inProcess('a blocking handler ends, and the loop does not turn at once')
  expect(await child.exit, child.err).toEqual({ code: 0, signal: null })
})

test.for(['a handler blocks past its deadline', 'the loop blocks while nothing runs'])(
  '%s: the process is killed, and says why',
  async (scenario) => {
    const { child } = await inProcess(scenario)
    expect(await child.exit).toEqual({ code: null, signal: 'SIGKILL' })
    expect(child.out).toContain('started')
    expect(child.err).toContain('its event loop has been blocked')
  },
)

test('a process that is slow to start is not killed: it has no jobs yet', async () => {
  const { child } = await inProcess('the loop blocks while it starts')
  expect(await child.exit, child.err).toEqual({ code: 0, signal: null })
})

test('the lease counts from the sending of the beat that was answered, not from its answer', async () => {
  const { child } = await inProcess('a late answer')
  expect(await child.exit, child.err).toEqual({ code: 0, signal: null })
  expect(child.out).toContain('at most half of the lease is left: true\n')
})

test('a process whose heartbeat thread dies exits, loudly and with an error', async () => {
  const { child } = await inProcess('thread dies')
  expect(await child.exit).toEqual({ code: 1, signal: null })
  expect(child.err).toContain('the heartbeat thread of worker w died')
  expect(child.err).toContain('the thread has a fault')
})

test('a process that was stopped for several leases lives on when it is continued', async () => {
  const { child, leaseMs } = await inProcess('stopped and continued')
  await child.says('started')
  child.kill('SIGSTOP')
  // The fault itself takes its time: two leases.
  await new Promise((resolve) => setTimeout(resolve, 2 * leaseMs))
  child.kill('SIGCONT')
  child.kill('SIGUSR2')
  expect(await child.exit).toEqual({ code: 0, signal: null })
  expect(child.out).toContain('the lease holds: true\nstopped\n')
})
