import type { Fence, WorkerRef } from '../job/claim.ts'
import type { NewJob } from '../job/job.ts'
import type { NewMessage, NewStep, NewWait } from '../job/memory.ts'
import type { Settlement } from '../job/outcome.ts'
import type { QueueName, Ticket } from '../job/ticket.ts'
import type { JobFilter } from '../ports/history.ts'
import type { BeatReport, ExpediteOptions, SweepOptions, TakeOptions } from '../ports/job-log.ts'
import type { PruneOptions } from '../ports/operations.ts'
import type { ScheduleChange } from '../ports/schedules.ts'
import type { Locks } from './async/database.ts'
import type { Question } from './async/questions.ts'

/** What a call of the log reads and locks, for a host that reads before the rules run. Other hosts need not look at it. */
export interface Call {
  /** What the rules will surely ask for. Anything else costs another read. */
  readonly asks?: ((now: number) => readonly Question[]) | undefined
  /** What differs from waiting for jobs and ordering keys, and locking neither the facts nor workers. */
  readonly locks?: Partial<Locks> | undefined
}

/** They leave to others what others have locked. */
const passing = { jobs: 'pass', keys: 'pass' } as const
/** An end must be recorded. The key of the job may be passed on later. */
const ending = { keys: 'pass' } as const

function askForRows(jobs: readonly { readonly id: string }[]): Question[] {
  return jobs.map(({ id }) => ['row', id])
}

/** Jobs with their ordering keys: the holder of each, and who comes next. */
function askForKeyedRows(ids: readonly string[]): Question[] {
  return ids.flatMap((id): Question[] => [
    ['row', id],
    ['keyOf', id, 2],
  ])
}

function askForStep({ id }: Fence, name: string): Question[] {
  return [
    ['row', id],
    ['step', id, name],
    ['stepTotals', id],
  ]
}

/** A run that ends, and how. */
type Ended = Fence & Partial<Settlement>

/** Runs that end, with what is known of the waits of those that are suspended. */
function askForEnded(ended: readonly Ended[]): Question[] {
  return [
    ...askForKeyedRows(ended.map(({ id }) => id)),
    ...ended.flatMap(({ id, outcome }): Question[] =>
      outcome?.kind === 'suspend'
        ? [...outcome.waits.flatMap((wait) => askForWait(id, wait)), ['stepTotals', id], ['openWaits', id]]
        : [],
    ),
  ]
}

function askForWait(id: string, wait: NewWait): Question[] {
  const step = ['step', id, wait.name] as const
  return wait.kind === 'call' ? [step, ['flow', wait.on], ['freeRow', wait.on], ['needsOf', id]] : [step]
}

function askForMessages(messages: readonly NewMessage[]): Question[] {
  return messages.flatMap(({ job, id }): Question[] => [
    ['hasMessage', job, id],
    ['countUnread', job],
  ])
}

function askForTake(
  now: number,
  queues: readonly QueueName[],
  max: number,
  by: WorkerRef,
  { fromLowest = 0, overdue = false }: TakeOptions = {},
): Question[] {
  const ready = queues.flatMap((queue): Question[] => [
    ['ready', queue, 'highest', max],
    ...(fromLowest > 0 ? [['ready', queue, 'lowest', max] as const] : []),
  ])
  return [
    ['worker', by.id],
    ['heldQueues'],
    ['claimsOf', by.id],
    ...(overdue ? [['overdue', queues, now, max] as const] : ready),
  ]
}

/** Each call that needs more than the facts. */
export const calls = {
  append: (jobs: readonly NewJob[]): Call => ({
    asks: () =>
      jobs.flatMap(
        ({ id, name, queue, lane, ordering, unique, shareKey, limit, flow, needs = [] }): Question[] => [
          ['row', id],
          ...(limit ? [['limit', limit.name] as const, ['limitKey', limit.name, limit.key] as const] : []),
          ...(unique ? [['unique', name, unique.key] as const] : []),
          ...(shareKey === undefined ? [] : [['turns', queue, lane, shareKey] as const]),
          ...(ordering ? [['key', { queue, key: ordering.key }, 0] as const] : []),
          ...(flow === undefined ? [] : [['flow', flow] as const]),
          ...(needs.length === 0 ? [] : [['needsOf', id] as const]),
          ...needs.flatMap(({ on }): Question[] => [
            ['row', on],
            ['flow', on],
          ]),
        ],
      ),
  }),
  claim: (tickets: readonly Ticket[], by: WorkerRef): Call => ({
    asks: () => [
      ['worker', by.id],
      ['heldQueues'],
      ...tickets.flatMap(({ id }): Question[] => [
        ['row', id],
        ['stored', id],
      ]),
    ],
    locks: passing,
  }),
  take: (queues: readonly QueueName[], max: number, by: WorkerRef, options?: TakeOptions): Call => ({
    asks: (now) => askForTake(now, queues, max, by, options),
    locks: passing,
  }),
  settle: (fences: readonly Ended[]): Call => ({
    asks: () => askForEnded(fences),
    locks: ending,
  }),
  settleAndTake: (
    fences: readonly Ended[],
    queues: readonly QueueName[],
    max: number,
    by: WorkerRef,
    options?: TakeOptions,
  ): Call => ({
    asks: (now) => [...askForEnded(fences), ...askForTake(now, queues, max, by, options)],
    locks: ending,
  }),
  remember: (steps: readonly NewStep[]): Call => ({
    asks: () => steps.flatMap((step) => askForStep(step, step.name)),
    locks: passing,
  }),
  /** Inside the caller's transaction. */
  recall: (fence: Fence, name: string): Call => ({ asks: () => askForStep(fence, name) }),
  memory: (job: string): Call => ({
    asks: () => [
      ['steps', job],
      ['unread', job, undefined, Number.MAX_SAFE_INTEGER],
    ],
  }),
  send: (messages: readonly NewMessage[]): Call => ({
    asks: () => [...askForRows(messages.map(({ job }) => ({ id: job }))), ...askForMessages(messages)],
    locks: passing,
  }),
  sendInside: (messages: readonly NewMessage[]): Call => ({
    asks: () => [...messages.map(({ job }): Question => ['stateOf', job]), ...askForMessages(messages)],
  }),
  passNotes: (limit: number): Call => ({
    asks: () => [
      ['notes', limit],
      ['limitNotes', limit],
      ['work', limit],
    ],
    locks: passing,
  }),
  beat: (by: WorkerRef, { progress, givenUp = [] }: BeatReport): Call => ({
    asks: () => [
      ['worker', by.id],
      ['claimsOf', by.id],
      ['heldQueues'],
      ...askForRows([...progress, ...givenUp]),
    ],
    // A heartbeat must not wait for a row that somebody's transaction holds.
    locks: { ...passing, workers: true },
  }),
  readSchedules: (names: readonly string[] | undefined): Call => ({
    asks: () => [
      ['workers'],
      ...(names ? names.map((name): Question => ['schedule', name]) : [['schedules'] as const]),
    ],
  }),
  saveSchedules: (changes: readonly ScheduleChange[]): Call => {
    const added = calls.append(changes.flatMap(({ job }) => job ?? []))
    return {
      asks: (now) => [
        ...changes.map(({ name }): Question => ['schedule', name]),
        ...(added.asks?.(now) ?? []),
      ],
    }
  },
  sweep: ({ limit, schedules }: SweepOptions): Call => ({
    asks: (now) => [
      ['workers'],
      ['heldQueues'],
      // One more than is made due: if there is one, it is due next.
      ['due', now, limit + 1],
      ['lost', now, limit],
      ['notes', limit],
      ['limitNotes', limit],
      ['work', limit],
      ['dueLimits', now, limit],
      ['nextDue', now],
      ['nextLimit', now],
      ...(schedules ? [['firstSchedules', schedules, limit] as const] : []),
    ],
    locks: { ...passing, facts: true },
  }),
  readLimits: (names: readonly string[] | undefined): Call => ({
    asks: () => (names ? names.map((name): Question => ['limit', name]) : [['limits']]),
  }),
  changeLimits: (names: readonly string[]): Call => ({
    asks: () => names.map((name): Question => ['limit', name]),
    locks: { limits: 'wait' },
  }),
  published: (tickets: readonly Ticket[]): Call => ({ asks: () => askForRows(tickets), locks: passing }),
  expedite: (queues: readonly QueueName[], { limit, leftMs = 0 }: ExpediteOptions): Call => ({
    asks: (now) => [['published', queues, now + leftMs, limit]],
    locks: passing,
  }),
  get: (id: string): Call => ({
    asks: () => [
      ['row', id],
      ['stored', id],
      ['eventsOf', id],
    ],
  }),
  unfinished: (ids: readonly string[]): Call => ({ asks: () => [['unfinished', ids]] }),
  list: (filter: JobFilter, limit: number, after: string | undefined): Call => ({
    asks: () => [['list', filter, limit, after]],
  }),
  flow: (id: string): Call => ({ asks: () => [['flow', id]], locks: { flows: 'wait' } }),
  readHistory: (id: string): Call => ({ asks: () => [['eventsOf', id]] }),
  span: (): Call => ({ asks: () => [['span']] }),
  /** What operators do to jobs by their ids. */
  operate: (ids: readonly string[]): Call => ({ asks: () => askForKeyedRows(ids) }),
  blockedKeys: (limit: number): Call => ({ asks: () => [['blockedKeys', limit]] }),
  queues: (): Call => ({ asks: () => [['counts'], ['heldQueues'], ['workers']] }),
  workers: (): Call => ({ asks: () => [['workers']] }),
  stopWorkers: (): Call => ({ asks: () => [['workers']], locks: { workers: true } }),
  setTransfer: (): Call => ({ locks: { facts: true } }),
  prune: ({ succeededMs, failedMs, limit }: PruneOptions): Call => ({
    asks: (now) => [
      ['finished', ['succeeded', 'cancelled'], now - succeededMs, limit],
      ['finished', ['failed'], now - failedMs, limit],
      ['oldEvents', now - Math.max(succeededMs, failedMs), limit],
    ],
    locks: passing,
  }),
  setAside: (id: string): Call => ({
    asks: () => [
      ['mend', id],
      ['keyOf', id, 2],
    ],
  }),
} as const
