import type { JobLog, Logger, Transaction } from '@errand/core/ports'

/** What the author of a log gives to the suite: how to make one, and what it can do. */
export interface JobLogHarness {
  /** A new log: empty, opened, not yet migrated. The suite migrates, connects and closes it. */
  create(): Promise<LogUnderTest>
  readonly capabilities: LogCapabilities
}

export interface LogCapabilities {
  /** `LogUnderTest.advance` is there. Without it, tests that need hours, days or gaps are reported as skipped. */
  readonly advance: boolean
  /**
   * Whether `LogUnderTest.begin` is there, and who waits for an open transaction: with `row-locks` those that need its
   * rows; with `one-writer` every writer.
   */
  readonly transactions: 'none' | 'one-writer' | 'row-locks'
  /** `LogUnderTest.damage` is there. Default false: rows that other programs wrote are not tested. */
  readonly damage?: boolean | undefined
  /** `LogUnderTest.freeze` is there. Default false: what a newer build wrote is not tested. */
  readonly freeze?: boolean | undefined
}

export interface LogUnderTest {
  readonly log: JobLog
  /** One more open instance on the same data, as another process would have. It logs to the logger, if one is given. */
  another(logger?: Logger): Promise<JobLog>
  /** Moves the log's clock ahead. */
  advance?(ms: number): void | Promise<void>
  /** Writes the highest possible version into the row of a job that has not ended, as the SQL of another program might. */
  damage?(id: string): void | Promise<void>
  /** Gives a job a state and an event of types that this build does not know, as a newer one might. */
  freeze?(id: string): void | Promise<void>
  /** A transaction of the application on the log's database, with a client that the log does not know. */
  begin?(): Promise<OpenTransaction>
  /** Closes every instance and removes the data. */
  close(): Promise<void>
}

export interface OpenTransaction {
  readonly tx: Transaction
  commit(): Promise<void>
  rollback(): Promise<void>
}
