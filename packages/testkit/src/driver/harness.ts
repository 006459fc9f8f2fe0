import type { TestContext } from 'vitest'
import type { Driver, DriverCapabilities, JobLog, QueueName } from '@errand/core/ports'

/** What the author of a driver gives to the suite: how to make one, and what it can do. */
export interface DriverHarness {
  /**
   * A driver on a broker, or a part of one, that nobody else uses: its queues are empty. `test` is the context that
   * Vitest gives to the test.
   */
  create(test: TestContext): Promise<DriverUnderTest>
  /** What `Driver.capabilities` must say, and what `DriverUnderTest` brings. */
  readonly capabilities: DriverTestCapabilities
  /** Runs the tests in parallel: for brokers whose tests mostly wait. Default false. */
  readonly concurrent?: boolean | undefined
}

export interface DriverTestCapabilities extends DriverCapabilities {
  /** `DriverUnderTest.sever` is there. */
  readonly sever?: boolean | undefined
  /**
   * The broker under test is made to deliver copies, late and in another order. Tests that depend on its order or on
   * the exact depth are skipped.
   */
  readonly inexact?: boolean | undefined
  /** `DriverUnderTest.publishRaw` is there. */
  readonly publishRaw?: boolean | undefined
}

export interface DriverUnderTest {
  readonly driver: Driver
  /** One more driver on the same broker, as another process would open it. */
  another(): Promise<Driver>
  /** The log from which a driver that delivers claims takes its jobs: migrated, and shared by all of its drivers. */
  readonly log?: JobLog | undefined
  /** Cuts every connection of every driver to the broker, as a restarted broker or a firewall would. */
  sever?(): Promise<void>
  /** Puts a raw message into the queue, such as no driver of Errand would write. */
  publishRaw?(queue: QueueName, message: Uint8Array): Promise<void>
  /** Moves the driver's clock ahead, if it has a virtual one. */
  advance?(ms: number): void | Promise<void>
  /** Closes every driver and removes what is left on the broker. */
  close(): Promise<void>
}
