import { jobStates } from '@errand/core/ports'
import type { EventType, JobState, NeedMode, StoredEventType, StoredState } from '@errand/core/ports'

/** How states are stored: two bytes instead of a word, in every row and index. A number is never used again. */
export const stateCode: Readonly<Record<JobState, number>> = {
  scheduled: 1,
  blocked: 2,
  ready: 3,
  running: 4,
  suspended: 8,
  succeeded: 5,
  failed: 6,
  cancelled: 7,
}

/** How types of events are stored. A number is never used again. */
export const eventCode: Readonly<Record<EventType, number>> = {
  dispatched: 1,
  due: 2,
  unblocked: 3,
  started: 4,
  progressed: 5,
  succeeded: 6,
  errored: 7,
  snoozed: 8,
  released: 9,
  lost: 10,
  fenced: 11,
  failed: 12,
  cancel_requested: 13,
  cancelled: 14,
  changed: 15,
  skipped: 16,
  replayed: 17,
  suspended: 18,
  resumed: 19,
  received: 20,
  flow_dispatched: 21,
  flow_cancel_requested: 22,
  flow_ended: 23,
  flow_replayed: 24,
}

/** What a settlement asks for, as a number. */
export const settleCode = {
  succeed: 1,
  error: 2,
  fail: 3,
  snooze: 4,
  park: 5,
  releaseUnbegun: 6,
  releaseBegun: 7,
  cancel: 8,
  completed: 9,
  suspend: 10,
} as const

/** What a job remembers: the results of steps, and waits. */
export const stepCode = { step: 1, sleep: 2, message: 3, call: 4 } as const

/** What ended a wait. For a call it is the state of what was called. */
export const overCode = { time: 1, message: 2 } as const

/** How what a job needs must end. */
export const needCode: Readonly<Record<NeedMode, number>> = {
  succeeded: 1,
  ended: 2,
  unsuccessful: 3,
  called: 4,
}

/** What a note is about. */
export const noteCode = { job: 1, ended: 2, count: 3, flow: 4, member: 5, caller: 6 } as const

/** How a unique key is held. */
export const uniqueCode = { none: 0, untilFinished: 1, untilStarted: 2 } as const

const states = new Map<number, JobState>(jobStates.map((state) => [stateCode[state], state]))
const types = new Map<number, EventType>(
  (Object.keys(eventCode) as EventType[]).map((type) => [eventCode[type], type]),
)

/** For a value in a row: a newer build may have written one that this build does not know. */
export function toStoredState(code: unknown): StoredState {
  return states.get(Number(code)) ?? 'unknown'
}

export function toStoredEventType(code: unknown): StoredEventType {
  return types.get(Number(code)) ?? 'unknown'
}

/** For an answer of this build's own rules. */
export function toState(code: unknown): JobState {
  const state = states.get(Number(code))
  if (!state) throw new RangeError(`no state has the code ${String(code)}`)
  return state
}
