import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** One worker process, as the audience knows it. */
export interface Member {
  readonly name: string
  readonly pid: number
  /** Its id in the log, once it has been heard of there. */
  id: string | undefined
  state: 'starting' | 'working' | 'killed' | 'stopped'
  /** What became of it, for the board. */
  fate: string
}

const here = fileURLToPath(new URL('..', import.meta.url))
const stopMs = 8_000

/** Three processes that each do what `errand work` does: because that is what they run. */
export class Fleet {
  readonly members: readonly Member[]
  readonly #processes = new Map<Member, ChildProcess>()
  readonly #files = new Map<Member, string>()
  readonly #fallen = Promise.withResolvers<never>()
  #stopping = false

  constructor(count: number, out: string, environment: Readonly<Record<string, string>>) {
    this.#fallen.promise.catch(() => {})
    this.members = Array.from({ length: count }, (_, index) =>
      this.#start(`worker ${index + 1}`, out, environment),
    )
  }

  /** Rejects when a process ends that should go on: it never resolves. */
  get fallen(): Promise<never> {
    return this.#fallen.promise
  }

  /** `kill -9`: no handler, no goodbye. */
  async kill(member: Member): Promise<void> {
    member.state = 'killed'
    await end(this.#processes.get(member), 'SIGKILL')
  }

  /** Asks all that still run to stop, and ends those that do not within eight seconds. Idempotent. */
  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.all(
      [...this.#processes].map(async ([member, child]) => {
        const late = setTimeout(() => child.kill('SIGKILL'), stopMs)
        await end(child, 'SIGTERM')
        clearTimeout(late)
        if (member.state !== 'killed') member.state = 'stopped'
      }),
    )
  }

  /** The last resort, without waiting. */
  killAll(): void {
    this.#stopping = true
    for (const child of this.#processes.values()) child.kill('SIGKILL')
  }

  #start(name: string, out: string, environment: Readonly<Record<string, string>>): Member {
    const file = join(out, `${name.replace(' ', '-')}.log`)
    const log = openSync(file, 'w')
    // A process group of its own: Ctrl-C reaches the demo, which then stops its workers in order.
    const child = spawn(process.execPath, ['--import', tether, errandCommand(), 'work', '--label', name], {
      cwd: here,
      env: { ...process.env, ...environment },
      stdio: ['ignore', log, log, 'ipc'],
      detached: process.platform !== 'win32',
    })
    closeSync(log)
    const member: Member = { name, pid: child.pid ?? 0, id: undefined, state: 'starting', fate: '' }
    this.#processes.set(member, child)
    this.#files.set(member, file)
    child.once('error', (cause) => this.#fallen.reject(new Error(`${name} could not be started`, { cause })))
    child.once('exit', (code, signal) => {
      if (this.#stopping || member.state === 'killed') return
      member.state = 'stopped'
      this.#fallen.reject(
        new Error(`${name} ended by itself (${signal ?? `exit code ${code}`})${this.#lastWords(member)}`),
      )
    })
    return member
  }

  #lastWords(member: Member): string {
    const said = readFileSync(this.#files.get(member) ?? '', 'utf8')
      .trim()
      .split('\n')
      .slice(-15)
    return said.join('') === '' ? '' : `; it said:\n${said.map((line) => `  ${line}`).join('\n')}`
  }
}

const tether = new URL('tether.ts', import.meta.url).href

/** The `errand` command that this package has installed. */
function errandCommand(): string {
  const require = createRequire(import.meta.url)
  const manifest = require.resolve('errand/package.json')
  const { bin } = require(manifest) as { readonly bin: { readonly errand: string } }
  return join(manifest, '..', bin.errand)
}

async function end(child: ChildProcess | undefined, signal: NodeJS.Signals): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill(signal)
  await ended
}
