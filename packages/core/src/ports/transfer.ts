/** A driver, as the log names it to processes that are not configured with it. */
export interface DriverAddress {
  /** Its name and what it reaches, without credentials. Drivers of one place share their tickets. */
  readonly place: string
  /**
   * How to open it: a URL, or `env:NAME` for an environment variable that holds one and that each process reads
   * itself. Undefined: only processes that are configured with it can open it.
   */
  readonly url: string | undefined
}

/**
 * The log's forwarding address, at most one. A process that is configured with a driver of one of the places in `left`
 * uses the driver at `to`. A process that is configured with `to` needs nothing, so configurations may change later.
 */
export interface Transfer {
  /** Raised by each change of the record, from 1. */
  readonly revision: number
  /** `moving`: tickets are published to `to`, and taken from both. `moved`: `from` is no longer used. */
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
