import { setImmediate as passed } from 'node:timers/promises'
import { Writable } from 'node:stream'
import type { Worker } from '@errand/core'
import { expect, onTestFinished, test } from 'vitest'
import { StatusLine } from '../src/commands/work/status-line.ts'

/** A terminal that two streams write to, and the lines that a person sees on it. */
function makeTerminal(): {
  readonly streams: [NodeJS.WriteStream, NodeJS.WriteStream]
  readonly lines: () => readonly string[]
} {
  let text = ''
  const stream = (): NodeJS.WriteStream => {
    const out = new Writable({
      write(chunk: Buffer, _encoding, done) {
        text += chunk.toString()
        done()
      },
    })
    return Object.assign(out, { columns: 80 }) as unknown as NodeJS.WriteStream
  }
  return {
    streams: [stream(), stream()],
    // "Erase this line" removes what is written on it.
    lines: () => text.split('\n').map((line) => line.split('\r\u001b[2K').at(-1) ?? ''),
  }
}

const health = { taking: true, running: 0, prefetched: 0, ended: { succeeded: 0 } }
const worker = { health: () => health } as unknown as Worker

function begin(): ReturnType<typeof makeTerminal> & { readonly status: StatusLine } {
  const terminal = makeTerminal()
  const status = new StatusLine(worker, (_, text) => text, terminal.streams)
  onTestFinished(() => status.end())
  return { ...terminal, status }
}

test('what handlers print goes above the status line of a worker, whichever stream they use', async () => {
  const { streams, status, lines } = begin()
  const [stdout, stderr] = streams
  expect(lines()).toEqual([expect.stringContaining('0 running')])
  stdout.write('printed by a handler\n')
  stderr.write(Buffer.from('and by a hook\n'))
  await passed()
  status.write('a run has ended')
  expect(lines()).toEqual([
    'printed by a handler',
    'and by a hook',
    'a run has ended',
    expect.stringContaining('0 running'),
  ])
})

test('a line that a handler prints in parts is not cut by the status line', async () => {
  const { streams, status, lines } = begin()
  streams[0].write('half ')
  await passed()
  streams[0].write('and half\n')
  streams[0].write('a half only')
  await passed()
  status.write('a run has ended')
  expect(lines().slice(0, 3)).toEqual(['half and half', 'a half only', 'a run has ended'])
})

test('after its end the status line is gone, and others write as before it', async () => {
  const { streams, status, lines } = begin()
  streams[0].write('a')
  status.end()
  streams[1].write('b\n')
  await passed()
  expect(lines()).toEqual(['a', 'b', ''])
})
