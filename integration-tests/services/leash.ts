import { type ChildProcess, spawn } from 'node:child_process'
import type { SpawnOptions } from 'node:child_process'
import type { Writable } from 'node:stream'

export interface Leashed {
  readonly process: ChildProcess
  /** Signals the whole group, because a server is several processes. Does nothing once they have ended. */
  signal(which: NodeJS.Signals): void
  /** The server has been ended in order: its folder stays for a later start. */
  letGo(): void
}

export interface LeashOptions extends Omit<SpawnOptions, 'stdio' | 'detached'> {
  /** The data of the server, which is removed with it. */
  readonly folder: string
  /** The signal by which the server ends its own children at once; default: all of its group are killed. */
  readonly ends?: 'QUIT' | undefined
}

/**
 * A watcher beside the server waits for the end of a pipe that only this process holds. If the pipe ends without a message,
 * this process was killed and could not clean up: then the watcher ends the server and removes its folder.
 */
const watched = `
(
  exec 2>/dev/null
  if read -r word <&3; then exit 0; fi
  if [ -n "$LEASH_ENDS" ]; then
    kill "-$LEASH_ENDS" $$
    while kill -0 $$; do sleep 0.1; done
    rm -rf "$LEASH_FOLDER"
  else
    rm -rf "$LEASH_FOLDER"
    kill -9 0
  fi
) &
exec "$@" 3<&-`

/** Starts a server that ends with this process, also if this process is killed. */
export function leashed(
  command: string,
  parameters: readonly string[],
  { folder, ends, env, ...options }: LeashOptions,
): Leashed {
  const child = spawn('/bin/sh', ['-c', watched, 'sh', command, ...parameters], {
    ...options,
    // A process group of its own: an interrupt from the keyboard must not end the server before it is ended in order.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    env: { ...env, LEASH_FOLDER: folder, LEASH_ENDS: ends ?? '' },
  })
  // Its output must be read, or a full pipe would stop it.
  child.stdout?.resume()
  child.stderr?.resume()
  const leash = child.stdio[3] as Writable
  leash.on('error', () => {})
  return {
    process: child,
    signal(which) {
      if (child.pid === undefined) return
      try {
        process.kill(-child.pid, which)
      } catch {
        // It has ended already.
      }
    },
    letGo: () => void leash.end('done\n'),
  }
}
