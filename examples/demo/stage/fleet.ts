import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** One process of a worker. */
export interface Life {
  readonly pid: number
  /** Where its jobs come from, for people: `SQLite`, `SQS`. */
  readonly source: string
  /** The worker's id in the log, once the log knows it. */
  id: string | undefined
}

/** One worker, as the board shows it: its name stays the same for all its processes. */
export interface Member {
  readonly name: string
  /** The last one is the present one. */
  readonly lives: Life[]
  state: 'starting' | 'working' | 'stopping' | 'killed' | 'stopped'
  /** What happened to it, for the board. */
  fate: string
}

/** How a worker process is started. Only this differs between the acts. */
export interface Setup {
  readonly source: string
  readonly environment: Readonly<Record<string, string>>
}

export function present({ lives }: Member): Life {
  const life = lives.at(-1)
  if (!life) throw new Error('a worker that was never started')
  return life
}

const here = fileURLToPath(new URL('..', import.meta.url))
const stopMs = 8_000

/** Three processes, each of which runs `errand work`. */
export class Fleet {
  readonly members: readonly Member[]
  readonly #out: string
  readonly #processes = new Map<Member, ChildProcess>()
  readonly #fallen = Promise.withResolvers<never>()
  readonly #atWork = new Map<Member, PromiseWithResolvers<void>>()
  #stopping = false

  constructor(count: number, out: string, setup: Setup) {
    this.#out = out
    this.#fallen.promise.catch(() => {})
    this.members = Array.from({ length: count }, (_, index): Member => {
      const member: Member = { name: `worker ${index + 1}`, lives: [], state: 'starting', fate: '' }
      this.#start(member, setup)
      return member
    })
  }

  /** The member whose process is, or was, this worker of the log. */
  findMember(worker: string): Member | undefined {
    return this.members.find(({ lives }) => lives.some(({ id }) => id === worker))
  }

  /** Notes that the log knows this process by this id, so it works. Undefined if that was known already. */
  arrived(pid: number, id: string): Member | undefined {
    const member = this.members.find((each) => present(each).pid === pid)
    if (!member || present(member).id !== undefined) return undefined
    present(member).id = id
    if (member.state === 'starting') member.state = 'working'
    this.#atWork.get(member)?.resolve()
    return member
  }

  /** Ends a worker in order, as a deployment would, and starts it again; resolves when it is at work. */
  async roll(member: Member, setup: Setup): Promise<void> {
    if (member.state !== 'killed') {
      member.state = 'stopping'
      await stopped(this.#processes.get(member))
    }
    if (this.#stopping) return
    this.#start(member, setup)
    await this.#atWork.get(member)?.promise
  }

  get isStopping(): boolean {
    return this.#stopping
  }

  /** Rejects when a process ends that should go on: it never resolves. */
  get fallen(): Promise<never> {
    return this.#fallen.promise
  }

  /** `kill -9`: the process cannot do anything before it ends. */
  async kill(member: Member): Promise<void> {
    member.state = 'killed'
    await end(this.#processes.get(member), 'SIGKILL')
  }

  /** Asks all that still run to stop, and ends those that do not within eight seconds. Idempotent. */
  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.all(
      [...this.#processes].map(async ([member, child]) => {
        await stopped(child)
        if (member.state !== 'killed') member.state = 'stopped'
      }),
    )
  }

  /** The last resort, without waiting. */
  killAll(): void {
    this.#stopping = true
    for (const child of this.#processes.values()) child.kill('SIGKILL')
  }

  #start(member: Member, { source, environment }: Setup): void {
    const { name } = member
    const file = this.#getFile(member)
    const log = openSync(file, member.lives.length === 0 ? 'w' : 'a')
    // A process group of its own: Ctrl-C reaches the demo, which then stops its workers in order.
    const child = spawn(process.execPath, ['--import', tether, errandCommand(), 'work', '--label', name], {
      cwd: here,
      env: { ...process.env, ...environment },
      stdio: ['ignore', log, log, 'ipc'],
      detached: process.platform !== 'win32',
    })
    closeSync(log)
    member.state = 'starting'
    member.lives.push({ pid: child.pid ?? 0, source, id: undefined })
    this.#processes.set(member, child)
    this.#atWork.set(member, Promise.withResolvers())
    child.once('error', (cause) => this.#fallen.reject(new Error(`${name} could not be started`, { cause })))
    child.once('exit', (code, signal) => {
      if (this.#stopping || member.state === 'killed' || member.state === 'stopping') return
      member.state = 'stopped'
      this.#fallen.reject(
        new Error(`${name} ended by itself (${signal ?? `exit code ${code}`})${this.#lastWords(member)}`),
      )
    })
  }

  #getFile({ name }: Member): string {
    return join(this.#out, `${name.replace(' ', '-')}.log`)
  }

  #lastWords(member: Member): string {
    const said = readFileSync(this.#getFile(member), 'utf8').trim().split('\n').slice(-15)
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

async function stopped(child: ChildProcess | undefined): Promise<void> {
  const late = setTimeout(() => child?.kill('SIGKILL'), stopMs)
  await end(child, 'SIGTERM')
  clearTimeout(late)
}

async function end(child: ChildProcess | undefined, signal: NodeJS.Signals): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill(signal)
  await ended
}
