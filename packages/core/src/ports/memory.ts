import type { Fence, WorkerRef } from '../job/claim.ts'
import type { NewMessage, NewStep, StoredStep, UnreadMessage } from '../job/memory.ts'
import type { Ticket } from '../job/ticket.ts'
import type { Transaction } from './transaction.ts'

/**
 * `kept`; `already`: the name is stored, and what was given is not; `claim-lost`: the fence does not match; `again`: the row was locked
 * for another reason than a write of this job, ask again in a few milliseconds; `full`: the job has as many steps and waits, or as much
 * text, as may be; `refused`: no log can store the text.
 */
export type Remembered = 'kept' | 'already' | 'claim-lost' | 'again' | 'full' | 'refused'

/** `duplicate` also where a wait has taken it, or the job has ended since; `full`: the job has 1,000 unread messages; `refused`: as above. */
export type Sent = 'sent' | 'duplicate' | 'unknown' | 'ended' | 'full' | 'refused'

/** What the steps of a job returned, its waits, and messages to it. */
export interface Memory {
  /** Stores steps of running jobs, each under its fence. One answer per step, in their order. */
  remember(steps: readonly NewStep[], by: WorkerRef): Promise<readonly Remembered[]>
  /**
   * The step of this name, as a statement of the caller's transaction; undefined: there is none. Throws `E_CLAIM_LOST` if the fence
   * does not match.
   */
  recall(fence: Fence, name: string, by: WorkerRef, tx: Transaction): Promise<StoredStep | undefined>
  /**
   * Stores a step as a statement of the caller's transaction. Throws `E_CLAIM_LOST` if the fence does not match, or if the name is
   * stored by then, so that the transaction rolls back; `E_STEP_LIMIT` for one too many; `E_STEP_RESULT` for a text that no log can store.
   */
  rememberInside(step: NewStep, by: WorkerRef, tx: Transaction): Promise<void>
  /** All that a job remembers, in the order in which it was completed; what it waits for last. And its unread messages. */
  memory(job: string): Promise<{
    readonly steps: readonly StoredStep[]
    readonly messages: readonly UnreadMessage[]
  }>
  /**
   * Sends messages to jobs. A wait for it takes it, else it waits for one. With `tx` it is a statement of the caller's transaction,
   * and waits for no row. One answer per message, and the tickets of jobs that go on.
   */
  send(
    messages: readonly NewMessage[],
    options?: { readonly tx?: Transaction | undefined },
  ): Promise<{ readonly sent: readonly Sent[]; readonly tickets: readonly Ticket[] }>
}
