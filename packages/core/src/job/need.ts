/**
 * How what a job needs must end before it may start. `succeeded`: else the job is cancelled. `ended`: however. `unsuccessful`: failed
 * or cancelled, else the job is cancelled. `called`: the job is suspended until then.
 */
export type NeedMode = 'succeeded' | 'ended' | 'unsuccessful' | 'called'

/** Something that a new job needs. */
export interface NewNeed {
  /** The id of a job or a flow, dispatched before or in the same call. */
  readonly on: string
  readonly mode: NeedMode
  /** By which its handler asks for the result. Undefined: it asks for none, so none is kept for it. */
  readonly name?: string | undefined
}

/** Why a job was cancelled, where no person did it. */
export type CancelCause = 'need' | 'flow' | 'caller'

/** At most so many needs of one job. */
export const mostNeeds = 1_000
