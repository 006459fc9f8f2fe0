import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { checkOutput } from '@errand/testkit'
import { eventually } from './stage.ts'

export interface Child {
  readonly pid: number
  /** Its standard output so far. */
  readonly out: string
  readonly err: string
  readonly exit: Promise<{ readonly code: number | null; readonly signal: string | null }>
  kill(signal: NodeJS.Signals): void
  /** Waits until its standard output holds this text. */
  says(text: string): Promise<void>
}

/** Starts a fixture as a process of its own. */
export function startChild(fixture: string, args: readonly string[]): Child & AsyncDisposable {
  const path = fileURLToPath(new URL(`fixtures/${fixture}`, import.meta.url))
  const child = spawn(process.execPath, [path, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  checkOutput(child)
  let out = ''
  let err = ''
  child.stdout.on('data', (data: Buffer) => (out += data.toString()))
  child.stderr.on('data', (data: Buffer) => (err += data.toString()))
  const exit = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
    child.on('close', (code, signal) => resolve({ code, signal }))
  })
  return {
    pid: child.pid ?? -1,
    get out() {
      return out
    },
    get err() {
      return err
    },
    exit,
    kill: (signal) => void child.kill(signal),
    says: (text) =>
      eventually(
        () => {
          if (!out.includes(text)) throw new Error(`it has not said "${text}" but: ${out}${err}`)
        },
        { withinMs: 25_000 },
      ),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await exit
    },
  }
}
