import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { fileURLToPath } from 'node:url'
import { deleteQueues } from '../subjects/sqs-place.ts'
import { pidListening } from './listening.ts'
import type { FindServer, OwnServer } from './server.ts'

const launcher = fileURLToPath(new URL('fauxqs.mjs', import.meta.url))
const loopback = 'sqs://test:test@eu-west-1?endpoint=http://127.0.0.1:4566'

/** The SQS that answers on the emulators' usual port, else fauxqs in its own process. Real SQS only by the variable. */
export const findSqs: FindServer = async (setting) => {
  if (setting !== undefined)
    return { url: setting, what: 'SQS at ERRAND_TEST_SQS', pid: undefined, release: async () => {} }
  if (await listens(4566))
    return {
      url: loopback,
      what: 'an SQS emulator on port 4566',
      pid: pidListening('http://127.0.0.1:4566', 4566),
      release: async () => {},
    }

  // It ends with its standard input, so that it never outlives the run.
  const server = spawn(process.execPath, [launcher], { stdio: ['pipe', 'pipe', 'inherit'] })
  const port = await new Promise<number | string>((resolve) => {
    server.stdout.setEncoding('utf8').once('data', (text: string) => resolve(Number(text)))
    server.once('exit', (code) => resolve(`fauxqs ended with ${code}`))
  })
  if (typeof port === 'string') return port
  return {
    ...at(`sqs://test:test@eu-west-1?endpoint=http://127.0.0.1:${port}`),
    what: `fauxqs on port ${port}`,
    pid: server.pid,
    release: async () => {
      const ended = once(server, 'exit')
      server.kill('SIGKILL')
      await ended
    },
  }
}

function at(url: string): Pick<OwnServer, 'url' | 'wipe'> {
  return { url, wipe: (space) => deleteQueues(url, space) }
}

async function listens(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
