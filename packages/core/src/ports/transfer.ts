/** A driver, as the log names it to processes that are not configured with it. */
export interface DriverAddress {
  /** Its name and what it reaches, without credentials. Drivers of one place share their tickets. */
  readonly place: string
  /**
   * How it is opened: a URL, or `env:NAME` for the environment variable that holds one, which each process reads by
   * itself. Undefined: only processes that are configured with it can.
   */
  readonly url: string | undefined
}

/**
 * The log's forwarding address, at most one: a process that is configured with a driver of one of the places in `left`
 * uses that at `to`. One that is configured with `to` already needs nothing, so configurations may be changed later.
 */
export interface Transfer {
  /** Raised by each change of the record, from 1. */
  readonly revision: number
  /** `moving`: tickets are published to `to`, and taken from both. `moved`: `from` is used no more. */
  readonly phase: 'moving' | 'moved'
  readonly from: DriverAddress
  readonly to: DriverAddress
  /** Places that were moved away from, `from` included. */
  readonly left: readonly string[]
  /** Who moves it. */
  readonly by: string
  /** When this phase began, ms since the epoch, by the log's clock. */
  readonly at: number
}

export type NewTransfer = Omit<Transfer, 'revision' | 'at'>
