import type { TestContext } from 'vitest'
import type { Driver, DriverCapabilities, JobLog, QueueName } from '@errand/core/ports'

/** What the author of a driver hands to the suite: how to make one, and what it can do. */
export interface DriverHarness {
  /**
   * A driver on a broker, or a corner of one, that nobody else uses: its queues are empty. `test` is what Vitest hands to
   * the test that asks for it.
   */
  create(test: TestContext): Promise<DriverUnderTest>
  /** What `Driver.capabilities` must say, and what `DriverUnderTest` brings. */
  readonly capabilities: DriverTestCapabilities
  /** Runs the tests side by side: for brokers that are waited for more than they are worked with. Default false. */
  readonly concurrent?: boolean | undefined
}

export interface DriverTestCapabilities extends DriverCapabilities {
  /** `DriverUnderTest.sever` is there. */
  readonly sever?: boolean | undefined
  /**
   * The broker under test is made to deliver copies, late and in another order: what depends on its order, and the exact
   * depth, is not looked at.
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
  /** Puts a message into the queue that no driver of Errand would write. */
  publishRaw?(queue: QueueName, message: Uint8Array): Promise<void>
  /** Moves the driver's clock ahead, where it has a virtual one. */
  advance?(ms: number): void | Promise<void>
  /** Closes every driver and removes what is left on the broker. */
  close(): Promise<void>
}
