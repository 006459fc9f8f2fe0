import type { JobLog, Logger, Transaction } from '@errand/core/ports'

/** What the author of a log hands to the suite: how to make one, and what it can do. */
export interface JobLogHarness {
  /** A log of its own: empty, opened, not yet migrated. The suite migrates, connects and closes it. */
  create(): Promise<LogUnderTest>
  readonly capabilities: LogCapabilities
}

export interface LogCapabilities {
  /** `LogUnderTest.advance` is there. Without it the tests that need hours, days or gaps are skipped, and said to be. */
  readonly advance: boolean
  /**
   * `LogUnderTest.begin` is there, and what an open transaction does to others: `row-locks` only those wait that need
   * its rows; `one-writer` every writer waits.
   */
  readonly transactions: 'none' | 'one-writer' | 'row-locks'
  /** `LogUnderTest.damage` is there. Default false: what becomes of rows that somebody else wrote is not tested. */
  readonly damage?: boolean | undefined
}

export interface LogUnderTest {
  readonly log: JobLog
  /** One more instance on the same data, opened, as another process would have it; it logs to the logger, if one is given. */
  another(logger?: Logger): Promise<JobLog>
  /** Moves the log's clock ahead. */
  advance?(ms: number): void | Promise<void>
  /** Writes a version into the row of a job that has not ended that no next one can follow, as the SQL of somebody else might. */
  damage?(id: string): void | Promise<void>
  /** A transaction of the application's own, on the log's database, with a client that the log does not know. */
  begin?(): Promise<OpenTransaction>
  /** Closes every instance and removes the data. */
  close(): Promise<void>
}

export interface OpenTransaction {
  readonly tx: Transaction
  commit(): Promise<void>
  rollback(): Promise<void>
}
