import { fork } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { FromChild, Measured, Task, ToChild } from './task.ts'

/** The module of a child; that of another build has a place of its own. */
export const ownModule = fileURLToPath(new URL('child.ts', import.meta.url))
/** What a child may still take to close after its work. */
const endMs = 15_000
const complaintLength = 2_000
/** A subject that writes a line for each job is slower than it could be: the figures would be those of its log. */
const mostLines = 100

export interface Child extends AsyncDisposable {
  /** Resolves when it may be told to go. */
  readonly ready: Promise<void>
  onMessage(listener: (message: FromChild) => void): void
  go(): void
  /** Tells it that its work is over, and waits for its figures and its end. */
  finish(): Promise<Measured>
  /** Its figures: for roles that end by themselves. */
  readonly measured: Promise<Measured>
  ended(): Promise<void>
}

/** Children that are alive, so that an interrupted run leaves none. */
const alive = new Set<{ kill(signal: NodeJS.Signals): boolean }>()
export function killAll(): void {
  for (const child of alive) child.kill('SIGKILL')
}

let files = 0

/** Starts a process for a task. Its output goes to a file, and is shown only if it fails, because subjects may log anything. */
export function spawnChild(task: Task, module: string = ownModule): Child {
  const file = join(task.place.folder, `said-${process.pid}-${files++}.log`)
  const said = openSync(file, 'w')
  const env = {
    ...process.env,
    NODE_ENV: 'production',
    // Errand runs from its sources here. With this their types are stripped only once.
    NODE_COMPILE_CACHE: join(task.place.folder, 'compiled'),
  }
  const child = fork(module, { stdio: ['ignore', said, said, 'ipc'], env })
  closeSync(said)
  alive.add(child)
  const exit = once(child, 'exit').then(() => void alive.delete(child))
  const ready = Promise.withResolvers<void>()
  const measured = Promise.withResolvers<Measured>()
  const fail = (why: string): void => {
    const complaint = readFileSync(file, 'utf8').slice(-complaintLength)
    const error = new Error(`${task.subject}, ${task.role}: ${why}\n${complaint}`)
    ready.reject(error)
    measured.reject(error)
  }
  ready.promise.catch(() => undefined)
  measured.promise.catch(() => undefined)
  child.on('message', (message: FromChild) => {
    if (message.type === 'ready') ready.resolve()
    else if (message.type === 'measured') {
      const lines = readFileSync(file, 'utf8').split('\n').length
      if (lines > mostLines) fail(`it wrote ${lines} lines while it worked: turn its log off`)
      else measured.resolve(message.measured)
    } else if (message.type === 'failed') {
      fail(message.error)
      child.kill('SIGKILL')
    }
  })
  void exit.then(() => fail('the process ended before its work did'))
  const tell = (message: ToChild): void => {
    if (child.connected) child.send(message)
  }
  tell({ type: 'task', task })

  const ended = async (): Promise<void> => {
    const late = setTimeout(() => child.kill('SIGKILL'), endMs)
    await exit
    clearTimeout(late)
  }
  return {
    ready: ready.promise,
    measured: measured.promise,
    onMessage: (listener) => void child.on('message', listener),
    go: () => tell({ type: 'go' }),
    finish: async () => {
      tell({ type: 'finish' })
      const figures = await measured.promise
      await ended()
      return figures
    },
    ended,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL')
      await exit
    },
  }
}
