import { spawn } from 'node:child_process'
import type { SpawnOptions } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'

/** A program that ends with this process, however this process ends: its shell waits for the end of our pipe. */
export interface Leashed {
  /** Ends it in order. */
  end(): Promise<void>
}

const script = `signal=$1; shift; "$@" & pid=$!; trap 'kill -$signal $pid' TERM; read -r _; kill -$signal $pid; wait $pid`

export function leashed(
  signal: 'INT' | 'TERM' | 'QUIT',
  command: readonly string[],
  options: Pick<SpawnOptions, 'cwd' | 'uid' | 'gid' | 'env'> = {},
): Leashed {
  const shell = spawn('sh', ['-c', script, 'sh', signal, ...command], {
    ...options,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  const ended = once(shell, 'exit')
  return {
    end: async () => {
      shell.stdin.end()
      await ended
    },
  }
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
