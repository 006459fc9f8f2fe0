/** The states of a job. The last three are final. */
export const jobStates = [
  'scheduled',
  'blocked',
  'ready',
  'running',
  'suspended',
  'succeeded',
  'failed',
  'cancelled',
] as const
export type JobState = (typeof jobStates)[number]

export type FinalState = 'succeeded' | 'failed' | 'cancelled'
export const finalStates: readonly FinalState[] = ['succeeded', 'failed', 'cancelled']
export type LiveState = Exclude<JobState, FinalState>

/** A state as it is read: a newer build may have written one that this build does not know. */
export type StoredState = JobState | 'unknown'

/** A state as a row has it; `unknown` where this build does not know it. */
export function knownState(state: unknown): StoredState {
  return jobStates.find((known) => known === state) ?? 'unknown'
}

export function isFinal(state: StoredState): state is FinalState {
  return state === 'succeeded' || state === 'failed' || state === 'cancelled'
}

export type EventType =
  | 'dispatched'
  | 'due'
  | 'unblocked'
  | 'started'
  | 'progressed'
  | 'succeeded'
  | 'errored'
  | 'snoozed'
  | 'released'
  | 'lost'
  | 'fenced'
  | 'failed'
  | 'cancel_requested'
  | 'cancelled'
  | 'changed'
  | 'skipped'
  | 'replayed'
  | 'suspended'
  | 'resumed'
  | 'received'
  | 'flow_dispatched'
  | 'flow_cancel_requested'
  | 'flow_ended'
  | 'flow_replayed'

/** A type of event as it is read: a newer build may have written one that this build does not know. */
export type StoredEventType = EventType | 'unknown'

/** A type of event as a row has it; `unknown` where this build does not know it. */
export function knownEventType(type: unknown): StoredEventType {
  return typeof type === 'string' && Object.hasOwn(transitions, type) ? (type as EventType) : 'unknown'
}

export interface Transition {
  /** The states in which the event may happen; empty if it begins a job. */
  readonly from: readonly JobState[]
  /** The states it may lead to; 'same' if it changes none. */
  readonly to: readonly JobState[] | 'same'
  /** True for `errored` and `lost`: in state `running` they are followed by `failed` or `cancelled` at once. */
  readonly interim?: true
}

const live: readonly JobState[] = ['scheduled', 'blocked', 'ready', 'running', 'suspended']
const waiting: readonly JobState[] = ['scheduled', 'blocked', 'ready']

/** The life of a job. Docs, SQL checks, the history checker and the model test are derived from this table. */
export const transitions: Readonly<Record<EventType, Transition>> = {
  dispatched: { from: [], to: waiting },
  due: { from: ['scheduled'], to: ['ready', 'blocked'] },
  unblocked: { from: ['blocked'], to: ['ready'] },
  started: { from: ['ready'], to: ['running'] },
  progressed: { from: ['running'], to: 'same' },
  succeeded: { from: ['running'], to: ['succeeded'] },
  errored: { from: ['running'], to: ['scheduled', 'running'], interim: true },
  snoozed: { from: ['running'], to: ['scheduled'] },
  released: { from: ['running'], to: ['ready'] },
  lost: { from: ['running'], to: ['ready', 'scheduled', 'running'], interim: true },
  fenced: { from: jobStates, to: 'same' },
  failed: { from: ['running'], to: ['failed'] },
  cancel_requested: { from: ['running'], to: 'same' },
  cancelled: { from: live, to: ['cancelled'] },
  // Of a suspended job only its lane.
  changed: { from: [...waiting, 'suspended'], to: [...waiting, 'suspended'] },
  skipped: { from: ['failed'], to: 'same' },
  replayed: { from: finalStates, to: ['ready', 'blocked'] },
  suspended: { from: ['running'], to: ['suspended'] },
  resumed: { from: ['suspended'], to: ['ready', 'blocked'] },
  received: { from: live, to: 'same' },
  // Those of flows, under the id of the flow.
  flow_dispatched: { from: [], to: ['running', 'succeeded'] },
  flow_cancel_requested: { from: ['running'], to: 'same' },
  flow_ended: { from: ['running'], to: finalStates },
  flow_replayed: { from: finalStates, to: ['running'] },
}

export const eventTypes: readonly EventType[] = Object.keys(transitions) as EventType[]

/** Whether `type` may happen in state `from` (undefined: no job yet) and leave the job in state `to`. */
export function isLegal(type: StoredEventType, from: StoredState | undefined, to: StoredState): boolean {
  if (type === 'unknown' || from === 'unknown' || to === 'unknown') return false
  const transition = transitions[type]
  if (from === undefined) return transition.from.length === 0 && includes(transition.to, to)
  if (!transition.from.includes(from)) return false
  return transition.to === 'same' ? from === to : transition.to.includes(to)
}

function includes(states: readonly JobState[] | 'same', state: JobState): boolean {
  return states !== 'same' && states.includes(state)
}
