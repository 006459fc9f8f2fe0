import type { FinalState } from './state.ts'

/** A flow as the dispatcher passes it to the log. */
export interface NewFlow {
  /** Any UUID, that no job has. */
  readonly id: string
  /** For people. */
  readonly name?: string | undefined
  /** The flow that it is a member of. */
  readonly flow?: string | undefined
  /** So many members may fail or be cancelled, and it still succeeds. Null: any number. */
  readonly allowFailures: number | null
  /** Whether the rest is cancelled once more have failed than may. */
  readonly stopOnFailure: boolean
  /** As a member of its outer flow: it does not count there if it fails. */
  readonly mayFail?: boolean | undefined
  readonly tags: readonly string[]
  readonly meta: Readonly<Record<string, string>>
}

export type FlowState = 'running' | FinalState

/** The members of a flow: jobs, and inner flows. */
export interface FlowCounts {
  readonly total: number
  readonly succeeded: number
  readonly failed: number
  readonly cancelled: number
  /** Those of the failed and the cancelled ones that do not count: they may fail, or were cancelled because of another member. */
  readonly forgiven: number
}
