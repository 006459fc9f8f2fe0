import { checkOutput } from '@errand/testkit'
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'

export const examples = fileURLToPath(new URL('../../examples', import.meta.url))

const require = createRequire(import.meta.url)
const manifest = require.resolve('errand/package.json')
/** The `errand` command, as an argument of `node`. */
export const errandCommand = join(dirname(manifest), 'src/bin.ts')

/** A process of an example, and all that it has printed. */
export interface Command extends AsyncDisposable {
  readonly child: ChildProcess
  readonly output: () => string
  /** Without its log lines and errors. */
  readonly stdout: () => string
  /** Resolves when the output matches; rejects when the process ends before. */
  readonly says: (text: RegExp) => Promise<RegExpMatchArray>
  readonly exitCode: Promise<number>
}

/** Starts `node ARGUMENTS` in a pipe, with the environment added to this one's. */
export function node(
  args: readonly string[],
  options: { readonly cwd: string; readonly env?: NodeJS.ProcessEnv },
): Command {
  // NODE_PATH comes from the package manager, and would find packages that the example does not have.
  const { ERRAND_LOG: _, ERRAND_DRIVER: __, INIT_CWD: ___, NODE_PATH: ____, ...clean } = process.env
  const child = spawn(process.execPath, [...args], {
    cwd: options.cwd,
    env: { ...clean, NO_COLOR: '1', ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  checkOutput(child)
  let printed = ''
  let stdout = ''
  const listeners = new Set<() => void>()
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      printed += text
      for (const listener of listeners) listener()
    })
  }
  child.stdout.on('data', (text: string) => {
    stdout += text
  })
  const exitCode = once(child, 'close').then(([code, signal]) => {
    for (const listener of listeners) listener()
    return typeof code === 'number'
      ? code
      : Promise.reject(new Error(`ended by ${String(signal)}: ${printed}`))
  })
  exitCode.catch(() => {})

  return {
    child,
    exitCode,
    output: () => printed,
    stdout: () => stdout,
    says: (text) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const match = text.exec(printed)
          const ended = child.exitCode !== null || child.signalCode !== null
          if (!match && !ended) return
          listeners.delete(look)
          if (match) resolve(match)
          else reject(new Error(`ended without saying ${text}: ${printed}`))
        }
        listeners.add(look)
        look()
      }),
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return
      const ended = once(child, 'exit')
      child.kill('SIGKILL')
      await ended
    },
  }
}

/** Runs a command that ends well, and returns what it printed. */
export async function runToEnd(
  args: readonly string[],
  options: Parameters<typeof node>[1],
): Promise<string> {
  await using command = node(args, options)
  expect(await command.exitCode, command.output()).toBe(0)
  return command.stdout()
}

export function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
