import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { onTestFinished } from 'vitest'
import type { Finally } from './scene.ts'

/** A worker process of the fleet, with the signals that a test sends it. */
export interface WorkerProcess {
  /** The worker's id, as the log knows it. */
  readonly id: string
  signal(signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT' | 'SIGTERM'): void
  /** Its exit code, or the signal that ended it. */
  readonly exited: Promise<number | NodeJS.Signals>
  /** What it logged. */
  readonly output: () => string
}

/** Starts one and waits until it takes jobs. It does not outlive the test. `app`: another program of the folder. */
export async function startWorker(
  env: Readonly<Record<string, string>>,
  app: string = 'worker.ts',
  atTheEnd: Finally = onTestFinished,
): Promise<WorkerProcess> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'app', app)], {
    env: { ...process.env, ERRAND_LOG_LEVEL: 'warn', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  atTheEnd(() => end(child))
  let output = ''
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const exited = once(child, 'exit').then(([code, signal]) => (code ?? signal) as number | NodeJS.Signals)
  const ready = new Promise<string>((resolve, reject) => {
    createInterface(child.stdout).on('line', (line) => {
      output += `${line}\n`
      if (line.startsWith('ready ')) resolve(line.slice('ready '.length))
    })
    void exited.then((how) => reject(new Error(`the worker ended (${how}) before it was ready:\n${output}`)))
  })
  return { id: await ready, signal: (signal) => void child.kill(signal), exited, output: () => output }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  // A stopped process dies of SIGKILL as well.
  child.kill('SIGKILL')
  await once(child, 'exit')
}
