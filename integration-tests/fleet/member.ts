import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { basename, isAbsolute, join } from 'node:path'
import { createInterface } from 'node:readline'
import { checkOutput } from '@errand/testkit'
import { onTestFinished } from 'vitest'
import type { Samples } from './memory.ts'
import type { Finally } from './scene.ts'

/** A process of a fleet, with the signals that a test sends it. */
export interface Member {
  /** For people: `worker 3`. */
  readonly name: string
  readonly program: string
  /** What it printed when it was ready: for a worker, its id in the log. */
  readonly id: string
  readonly pid: number
  signal(signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT' | 'SIGTERM'): void
  /** Writes a line to its standard input. */
  tell(line: string): void
  /** Its exit code, or the signal that ended it. */
  readonly exited: Promise<number | NodeJS.Signals>
  /** The same, once it has ended. */
  readonly ended: number | NodeJS.Signals | undefined
  /** What it logged. */
  readonly output: () => string
  /** How it may end: exit codes and signals. Those that follow from the signals of the test are among them. */
  readonly expected: readonly (number | string)[]
  /** Its resident memory, if it is watched. */
  readonly memory: Samples | undefined
}

export interface MemberOptions {
  /** When it is ended. Default: when the test has finished, at the latest. */
  readonly finally?: Finally | undefined
  /** Default: the name of its program. */
  readonly name?: string | undefined
  /** A command that runs the process, for example as another user. */
  readonly through?: readonly string[] | undefined
  /** Node's own options, such as a small heap. */
  readonly execArgv?: readonly string[] | undefined
  /** Called for every line of its standard output; true keeps the line out of `output()`. */
  readonly line?: ((line: string) => boolean) | undefined
  /** How it will end by itself: exit codes or signals. */
  readonly expects?: readonly (number | string)[] | undefined
  /** Begins to watch its memory. */
  readonly watch?: ((pid: number) => Samples) | undefined
}

type Env = Readonly<Record<string, string>>

/**
 * Starts a program and waits until it says that it is ready.
 * @param program one of the folder `app`, by its name, or the path of a file
 */
export async function startMember(program: string, env: Env, options: MemberOptions = {}): Promise<Member> {
  const file = isAbsolute(program) ? program : join(import.meta.dirname, 'app', `${program}.ts`)
  const { through = [], execArgv = [], finally: atTheEnd = onTestFinished } = options
  const words = [...through, process.execPath, ...execArgv, file]
  const [command = '', ...parameters] = words
  const child = spawn(command, parameters, {
    env: { ...process.env, ERRAND_LOG_LEVEL: 'warn', ...env },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  checkOutput(child)
  const expected = [...(options.expects ?? [])]
  let output = ''
  let ended: number | NodeJS.Signals | undefined
  createInterface(child.stderr).on('line', (line) => {
    output += `${line}\n`
  })
  // It may have ended before it has read everything.
  child.stdin.on('error', () => {})
  // Resolves when all its output is here as well.
  const exited = once(child, 'close').then(
    ([code, signal]) => (ended = (code ?? signal) as number | NodeJS.Signals),
  )
  atTheEnd(async () => {
    // A stopped process dies of SIGKILL as well.
    if (child.kill('SIGKILL')) await exited
  })
  const ready = new Promise<string>((resolve, reject) => {
    createInterface(child.stdout).on('line', (line) => {
      if (!options.line?.(line)) output += `${line}\n`
      if (line.startsWith('ready ')) resolve(line.slice('ready '.length))
    })
    void exited.then((how) => reject(new Error(`the process ended (${how}) before it was ready:\n${output}`)))
  })
  const id = await ready
  const pid = child.pid ?? 0
  return {
    name: options.name ?? program,
    program: basename(file, '.ts'),
    id,
    pid,
    signal(signal) {
      if (signal === 'SIGKILL') expected.push('SIGKILL')
      if (signal === 'SIGTERM') expected.push(0)
      child.kill(signal)
    },
    tell: (line) => void child.stdin.write(`${line}\n`),
    exited,
    get ended() {
      return ended
    },
    output: () => output,
    expected,
    memory: options.watch?.(pid),
  }
}

/** Starts a worker and waits until it takes jobs. */
export function startWorker(env: Env, options?: MemberOptions): Promise<Member> {
  return startMember('worker', env, options)
}
