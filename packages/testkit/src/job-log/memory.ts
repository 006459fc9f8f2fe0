import { randomUUID } from 'node:crypto'
import type {
  Claim,
  Fence,
  NewMessage,
  NewStep,
  NewWait,
  Remembered,
  Sent,
  Settled,
  StoredStep,
  Ticket,
  UnreadMessage,
  WorkerRef,
} from '@errand/core/ports'
import { encoded } from '../fixtures.ts'
import type { Scene } from './scene.ts'

/** A step that took a moment and returned its own name. */
export function newStep({ id, run }: Fence, name: string, overrides: Partial<NewStep> = {}): NewStep {
  return { id, run, name, memoryVersion: 1, durationMs: 7, result: encoded({ did: name }), ...overrides }
}

/** What a handler may wait for. */
export const waits = {
  sleep: (name: string, delayMs: number): NewWait => ({ kind: 'sleep', name, until: { delayMs } }),
  until: (name: string, at: number): NewWait => ({ kind: 'sleep', name, until: { at } }),
  message: (name: string, message: string, timeoutMs?: number): NewWait => ({
    kind: 'message',
    name,
    message,
    timeoutMs,
  }),
  call: (name: string, on: string): NewWait => ({ kind: 'call', name, on }),
} as const

/** What a handler waits for when it has called these, by the names `call/0`, `call/1` and so on. */
export function callsOf(called: readonly { readonly id: string }[]): NewWait[] {
  return called.map(({ id }, at) => waits.call(`call/${at}`, id))
}

export function newMessage(job: { readonly id: string }, overrides: Partial<NewMessage> = {}): NewMessage {
  const id = randomUUID()
  return { id, job: job.id, name: 'approved', payload: encoded({ message: id }), by: 'ada', ...overrides }
}

/** Stores steps of one run, by their names. */
export function remember(
  on: Scene,
  worker: WorkerRef,
  claim: Fence,
  ...names: readonly string[]
): Promise<readonly Remembered[]> {
  return on.log.remember(
    names.map((name) => newStep(claim, name)),
    worker,
  )
}

export function suspend(
  on: Scene,
  worker: WorkerRef,
  claim: Fence,
  ...awaited: readonly NewWait[]
): Promise<Settled> {
  return on.settle(worker, claim, { kind: 'suspend', waits: awaited, memoryVersion: 1 })
}

/** A job whose first run waits for these. */
export async function suspended(
  on: Scene,
  awaited: readonly NewWait[],
  overrides: Parameters<Scene['start']>[0] = {},
): Promise<{ readonly id: string; readonly worker: WorkerRef; readonly claim: Claim }> {
  const { job, worker, claim } = await on.start(overrides)
  await suspend(on, worker, claim, ...awaited)
  return { id: job.id, worker, claim }
}

/** Sends one message. */
export async function send(
  on: Scene,
  message: NewMessage,
): Promise<{ readonly sent: Sent | undefined; readonly tickets: readonly Ticket[] }> {
  const { sent, tickets } = await on.log.send([message])
  return { sent: sent[0], tickets }
}

export async function stepsOf(on: Scene, job: { readonly id: string }): Promise<readonly StoredStep[]> {
  return (await on.log.memory(job.id)).steps
}

/** The steps and waits that are over, in their order: `charge`, `cool-off by time`. Those that are not: `approval open`. */
export async function told(on: Scene, job: { readonly id: string }): Promise<string[]> {
  return (await stepsOf(on, job)).map(({ name, order, by }) =>
    order === undefined ? `${name} open` : by === undefined ? name : `${name} by ${by}`,
  )
}

export async function unreadOf(on: Scene, job: { readonly id: string }): Promise<readonly UnreadMessage[]> {
  return (await on.log.memory(job.id)).messages
}
