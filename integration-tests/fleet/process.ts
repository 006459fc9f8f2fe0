import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { checkOutput } from '@errand/testkit'
import { onTestFinished } from 'vitest'
import type { Finally } from './scene.ts'

type Signal = 'SIGKILL' | 'SIGSTOP' | 'SIGCONT' | 'SIGTERM'

/** A process of the fleet, with the signals that a test sends it. */
export interface FleetProcess {
  /** What it said when it was ready: a worker's id, as the log knows it. */
  readonly id: string
  readonly pid: number
  signal(signal: Signal): void
  /** Writes a line to its standard input. */
  tell(line: string): void
  /** Its exit code, or the signal that ended it. */
  readonly exited: Promise<number | NodeJS.Signals>
  /** The same, once it has ended. */
  readonly ended: number | NodeJS.Signals | undefined
  /** What it logged. */
  readonly output: () => string
}

export type WorkerProcess = FleetProcess

export interface ProcessOptions {
  /** Default: when the test has finished. It does not outlive that. */
  readonly finally?: Finally | undefined
  /** A command that runs the one that follows it, in its place: as another user, say. */
  readonly through?: readonly string[] | undefined
  /** Node's own options, such as a small heap. */
  readonly execArgv?: readonly string[] | undefined
  /** Told of every line of its standard output; true keeps it out of `output()`. */
  readonly line?: ((line: string) => boolean) | undefined
}

/** Starts a program and waits until it says that it is ready. */
export async function startProcess(
  program: string,
  env: Readonly<Record<string, string>>,
  options: ProcessOptions = {},
): Promise<FleetProcess> {
  const words = [...(options.through ?? []), process.execPath, ...(options.execArgv ?? []), program]
  const [command = '', ...parameters] = words
  const child = spawn(command, parameters, {
    env: { ...process.env, ERRAND_LOG_LEVEL: 'warn', ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  ;(options.finally ?? onTestFinished)(() => end(child))
  checkOutput(child)
  let output = ''
  let ended: number | NodeJS.Signals | undefined
  createInterface(child.stderr).on('line', (line) => {
    output += `${line}\n`
  })
  // It may have ended before it has read everything.
  child.stdin.on('error', () => {})
  const exited = once(child, 'exit').then(
    ([code, signal]) => (ended = (code ?? signal) as number | NodeJS.Signals),
  )
  const ready = new Promise<string>((resolve, reject) => {
    createInterface(child.stdout).on('line', (line) => {
      if (!options.line?.(line)) output += `${line}\n`
      if (line.startsWith('ready ')) resolve(line.slice('ready '.length))
    })
    void exited.then((how) => reject(new Error(`the process ended (${how}) before it was ready:\n${output}`)))
  })
  return {
    id: await ready,
    pid: child.pid ?? 0,
    signal: (signal) => void child.kill(signal),
    tell: (line) => void child.stdin.write(`${line}\n`),
    exited,
    get ended() {
      return ended
    },
    output: () => output,
  }
}

/** Starts a worker and waits until it takes jobs. `app`: another program of the folder. */
export function startWorker(
  env: Readonly<Record<string, string>>,
  app: string = 'worker.ts',
  atTheEnd: Finally = onTestFinished,
): Promise<WorkerProcess> {
  return startProcess(join(import.meta.dirname, 'app', app), env, { finally: atTheEnd })
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  // A stopped process dies of SIGKILL as well.
  child.kill('SIGKILL')
  await once(child, 'exit')
}
