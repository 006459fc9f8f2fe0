import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { checkOutput } from '@errand/testkit'

/** The file that the `errand` package puts on the path. */
export const bin: string = new URL('../../../errand/src/bin.ts', import.meta.url).pathname

export interface Ran {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface CommandOptions {
  readonly cwd: string
  readonly env?: Readonly<Record<string, string | undefined>>
  /** What the command reads from stdin. */
  readonly input?: string
  /** A file that is its stdout, instead of a pipe that is read. */
  readonly stdout?: number
  /** What is started instead of the command itself. */
  readonly program?: readonly string[]
}

/** The real command in a process of its own. */
export interface Running {
  readonly process: ChildProcess
  /** Its output so far. */
  said(): { readonly stdout: string; readonly stderr: string }
  /** Ends it at once, with its children. */
  kill(): void
  /** Resolves when stdout or stderr has come to match. */
  saying(pattern: RegExp): Promise<void>
  readonly ended: Promise<Ran>
}

export function start(
  words: readonly string[],
  { cwd, env, input, stdout: file, program = [process.execPath, bin] }: CommandOptions,
): Running {
  const [name = '', ...rest] = program
  const { PATH, HOME, NODE_COMPILE_CACHE } = process.env
  const child = spawn(name, [...rest, ...words], {
    cwd,
    // Only what a shell would have, and nothing of the test runner, such as its NODE_ENV or its colours. The compiled
    // sources change nothing but the time that a command takes.
    env: { PATH, HOME, NODE_COMPILE_CACHE, ...env },
    stdio: ['pipe', file ?? 'pipe', 'pipe'],
    // A group of its own: `--watch` has children, and they must not outlive the test.
    detached: true,
  })
  checkOutput(child)
  let stdout = ''
  let stderr = ''
  const listeners = new Set<() => void>()
  const told = (): void => {
    for (const listener of listeners) listener()
  }
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
    told()
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
    told()
  })
  // A command that has ended without reading is no failure of the test.
  child.stdin?.on('error', () => {}).end(input)
  const ended = once(child, 'close').then(([code, signal]) => {
    return { code: code as number | null, signal: signal as NodeJS.Signals | null, stdout, stderr }
  })

  return {
    process: child,
    kill() {
      try {
        process.kill(-(child.pid ?? 0), 'SIGKILL')
      } catch {
        // It has ended.
      }
    },
    said: () => ({ stdout, stderr }),
    ended,
    saying(pattern) {
      return new Promise((resolve, reject) => {
        const look = (): void => {
          if (!pattern.test(stdout) && !pattern.test(stderr)) return
          listeners.delete(look)
          resolve()
        }
        listeners.add(look)
        void ended.then(() =>
          reject(new Error(`it ended without saying ${String(pattern)}\n${stdout}\n${stderr}`)),
        )
        look()
      })
    },
  }
}
