import type { QueueKey } from '../../job/claim.ts'
import type { StoredJob } from '../../job/job.ts'
import type { LimitPlace } from '../../ports/limits.ts'
import type { FlowRow, JobRow, JobStore, LimitRow, Work } from '../store.ts'

/** Methods of `JobStore` that return jobs, at most `limit` of them; that is their last argument. */
export const listings = [
  'ready',
  'inTurn',
  'overdue',
  'unpublished',
  'published',
  'due',
  'lost',
  'finished',
  'atLimit',
] as const
type Listing = (typeof listings)[number]

/** Methods of `JobStore` whose answers the rules never change. */
export const answeredAsRead = [
  'unfinished',
  'list',
  'events',
  'span',
  'counts',
  'blockedKeys',
  'heldQueues',
  'schedules',
  'firstSchedules',
  'limits',
  'dueLimits',
  'childrenOf',
  'flows',
  'endedFlows',
  'steps',
] as const

/** Methods of `JobStore` that are questions as they are. */
type Same =
  | Listing
  | (typeof answeredAsRead)[number]
  | 'facts'
  | 'unique'
  | 'worker'
  | 'workers'
  | 'claimsOf'
  | 'turns'
  | 'running'
  | 'schedule'
  | 'limitKey'
  | 'waitingKeys'
  | 'limitKeys'
  | 'heldOf'
  | 'countAtLimit'
  | 'needsOf'
  | 'openNeeds'
  | 'members'
  | 'mend'
  | 'eventsOf'
  | 'step'
  | 'stepTotals'
  | 'openWaits'
  | 'unread'
  | 'countUnread'
  | 'hasMessage'
  | 'stateOf'

/** An ordering key as it is stored. */
export interface KeyFound extends QueueKey {
  /** Another transaction has locked its row, and this one does not wait. Then the other properties mean nothing. */
  readonly locked?: boolean | undefined
  readonly holder: string | undefined
  /** Its jobs that have not ended, by sequence, at most as many as were asked for. */
  readonly jobs: readonly JobRow[]
}

/** A flow as it is stored. */
interface FlowFound {
  readonly row: FlowRow | undefined
  /** Another transaction has locked its row, and this one does not wait. Then the row may be read, and not changed. */
  readonly locked: boolean
}

/** The answer to each kind of question. */
export type Answers = { [K in Same]: ReturnType<JobStore[K]> } & {
  /** `locked`: another transaction has locked it, and this one does not wait. */
  row: JobRow | 'locked' | undefined
  /** The same. */
  freeRow: JobRow | 'locked' | undefined
  stored: StoredJob | undefined
  key: KeyFound
  keyOf: KeyFound | undefined
  nextDue: number | undefined
  oldEvents: number
  notes: QueueKey[]
  /** `locked`: as in `row`. */
  limit: LimitRow | 'locked' | undefined
  nextLimit: number | undefined
  limitNotes: LimitPlace[]
  flow: FlowFound
  work: Work[]
}

/** The arguments of each kind of question. */
type ArgumentsOf = { [K in Same]: Parameters<JobStore[K]> } & {
  row: [id: string]
  /** Never waits for those that others have locked, whatever the locks of the call. */
  freeRow: [id: string]
  /** The payload part of a job. */
  stored: [id: string]
  key: [key: QueueKey, jobs: number]
  /** The ordering key of a job, if it has one. */
  keyOf: [id: string, jobs: number]
  /** The earliest `runAt` after this moment, of scheduled and suspended jobs. */
  nextDue: [after: number]
  /** How many events `removeEvents` would remove. */
  oldEvents: [before: number, limit: number]
  /** Keys that were noted with `Changes.notes`, the oldest first. */
  notes: [limit: number]
  limit: [name: string]
  /** The earliest `admitAt` after this moment, of limits and their keys. */
  nextLimit: [after: number]
  /** Places that were noted with `Changes.limitNotes`, the oldest first. */
  limitNotes: [limit: number]
  flow: [id: string]
  /** What was left for later with `Changes.work`, the oldest first. */
  work: [limit: number]
}

export type QuestionKind = keyof Answers

export type QuestionOf<K extends QuestionKind> = readonly [kind: K, ...args: ArgumentsOf[K]]

/** Something that the rules want to know: mostly a method of `JobStore` with its arguments. */
export type Question = { [K in QuestionKind]: QuestionOf<K> }[QuestionKind]

export type Answer = Answers[QuestionKind]

/** A function for each kind of question. */
export type Answerers = {
  readonly [K in QuestionKind]: (...args: ArgumentsOf[K]) => Answers[K] | Promise<Answers[K]>
}

/**
 * Answers each question with the function of its kind, all at the same time.
 * @example return answerEach(questions, { row: (id) => rows.get(id), … })
 */
export function answerEach(questions: readonly Question[], answerers: Answerers): Promise<Answer[]> {
  const answer = async ([kind, ...args]: Question): Promise<Answer> =>
    (answerers[kind] as (...given: readonly unknown[]) => Answer | Promise<Answer>)(...args)
  return Promise.all(questions.map(answer))
}

/**
 * The arguments of all questions of one kind, so that one statement can answer all of them.
 * @example const ids = pickArguments(questions, 'row').map(([id]) => id)
 */
export function pickArguments<K extends QuestionKind>(
  questions: readonly Question[],
  kind: K,
): ArgumentsOf[K][] {
  return questions.flatMap(([each, ...args]) => (each === kind ? [args as ArgumentsOf[K]] : []))
}
