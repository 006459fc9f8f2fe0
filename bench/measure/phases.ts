import { usualBytes } from './payload.ts'

/** What a phase does with a subject. */
export type Act = 'enqueue1' | 'enqueueBulk' | 'drain' | 'latency' | 'idle' | 'startup'

/** The jobs of a phase, and how a worker runs them. */
export interface Work {
  readonly payloadBytes: number
  /** How long a handler waits. */
  readonly handlerMs: number
  /** Slots of the worker. */
  readonly slots: number
  /** The number of queues that the jobs go to, which one worker serves. */
  readonly queues: number
  /** The number of ordering keys that the jobs have; 0: none. */
  readonly keys: number
  /** The number of keys of their limit; 0: they have none. */
  readonly limitKeys: number
}

export interface Phase {
  readonly name: string
  readonly act: Act
  readonly work: Work
  /** Its share of `--n` jobs; a phase also ends after `mostSeconds`. */
  readonly share: number
  /** The number of jobs, whatever `--n` says. */
  readonly jobs?: number
  /** Followers of all events, in a process of their own, while the worker drains. */
  readonly followers: number
  /** Subjects by name, or by the beginning of their names: `errand-`. Default: all. */
  readonly only?: readonly string[]
}

/** The limit of a phase, so that a whole round ends. Its figure is then that of the jobs until the limit. */
export const mostSeconds = 6
/** How long an idle worker is measured. Longer for SQS, because its polls last 20 s. */
export const idleSeconds = 10
export const idlePollSeconds = 40

const plain: Work = { payloadBytes: usualBytes, handlerMs: 0, slots: 50, queues: 1, keys: 0, limitKeys: 0 }

function phase(name: string, act: Act, more: Partial<Phase & { readonly on: Partial<Work> }> = {}): Phase {
  const { on = {}, ...rest } = more
  return { name, act, share: 1, followers: 0, ...rest, work: { ...plain, ...on } }
}

const runsJobs = ['errand-', 'graphile-worker', 'pg-boss', 'bullmq-']
const largePayloads = ['errand-postgres', 'errand-sqlite', 'graphile-worker-local-queue', 'pg-boss']
const logs = ['errand-postgres', 'errand-sqlite']

export const phases: readonly Phase[] = [
  phase('enqueue1', 'enqueue1'),
  phase('enqueueBulk', 'enqueueBulk'),
  phase('drain', 'drain'),
  phase('latency', 'latency', { jobs: 0 }),
  phase('drain5ms50', 'drain', { on: { handlerMs: 5 }, only: runsJobs }),
  phase('drain5ms200', 'drain', { on: { handlerMs: 5, slots: 200 }, only: runsJobs }),
  phase('bulk2k', 'enqueueBulk', { on: { payloadBytes: 2_000 }, share: 0.4, only: largePayloads }),
  phase('drain2k', 'drain', { on: { payloadBytes: 2_000 }, share: 0.4, only: largePayloads }),
  phase('bulk20k', 'enqueueBulk', { on: { payloadBytes: 20_000 }, share: 0.1, only: largePayloads }),
  phase('drain20k', 'drain', { on: { payloadBytes: 20_000 }, share: 0.1, only: largePayloads }),
  phase('queues10', 'drain', { on: { queues: 10 }, only: ['errand-postgres'] }),
  phase('queues100', 'drain', { on: { queues: 100 }, only: ['errand-postgres'] }),
  phase('queues1000', 'drain', { on: { queues: 1_000 }, only: ['errand-postgres'] }),
  phase('keys100', 'drain', { on: { keys: 100 }, share: 0.5, only: logs }),
  phase('key1', 'drain', { on: { keys: 1 }, share: 0.1, only: logs }),
  phase('limited100', 'drain', { on: { limitKeys: 100 }, share: 0.5, only: logs }),
  phase('followed1', 'drain', { followers: 1, only: logs }),
  phase('followed10', 'drain', { followers: 10, only: logs }),
  phase('idle1', 'idle', { jobs: 0, only: ['errand-postgres'] }),
  phase('idle100', 'idle', { jobs: 0, on: { queues: 100 }, only: ['errand-postgres'] }),
  phase('idle20', 'idle', { jobs: 0, on: { queues: 20 }, only: ['errand-sqs'] }),
  phase('waiting', 'drain', { jobs: 1_000_000, only: ['errand-postgres'] }),
  phase('startup', 'startup', { jobs: 0, only: logs }),
]

/** Whether a subject is measured in this phase. */
export function hasPhase(subject: string, { only }: Phase): boolean {
  return only?.some((name) => `${subject}-`.startsWith(name.replace(/-?$/, '-'))) ?? true
}

export function phaseNamed(name: string): Phase {
  const found = phases.find((one) => one.name === name)
  if (found) return found
  throw new Error(`there is no figure "${name}"; there are ${phases.map((one) => one.name).join(', ')}`)
}

/** The number of jobs of a phase if `--n` is n. */
export function countJobs({ jobs, share }: Phase, n: number): number {
  return jobs ?? Math.max(1, Math.round(n * share))
}
