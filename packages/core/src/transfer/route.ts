import type { Driver } from '../ports/driver.ts'
import type { Transfer } from '../ports/transfer.ts'

/** Which drivers this process uses: the configured one, or those that the log's forwarding address names. */
export interface Route {
  /** Places of the open drivers, the one in use first: one, and two during a move. */
  readonly places: readonly string[]
  /** The driver that is being drained, while the system moves and this process can reach it. */
  readonly old: Driver | undefined
  /**
   * Does what the record says, unless it is older than what is known. Never rejects: the next heartbeat tells of it
   * again.
   */
  follow(transfer: Transfer | undefined): Promise<void>
  /**
   * Looks for a move if no heartbeat tells of it: at most every five seconds, in the background and without a timer.
   */
  look(): void
  /** Resolves when a look that is under way has been answered, or takes too long. */
  looked(): Promise<void>
  /** Calls back whenever `places` has changed, until the returned function is called. */
  onChange(changed: () => void): () => void
}
