import { workerDefaults } from '../config/defaults.ts'
import { describeQueues } from '../describe-queues.ts'
import type { QueueName } from '../job/ticket.ts'
import type { Logger } from '../logging.ts'
import type { Clock } from '../ports/clock.ts'
import type { Driver, Subscription } from '../ports/driver.ts'
import { backoffMs } from '../supervise.ts'

export interface SideParts {
  readonly subscribe: () => Promise<Subscription>
  readonly queues: readonly QueueName[]
  readonly clock: Clock
  readonly logger: Logger
  /** It has a subscription again. */
  readonly mended: () => void
}

/** One driver's part of a subscription. */
export class Side {
  readonly driver: Driver
  readonly #parts: SideParts
  readonly #ended = new AbortController()
  #subscription: Subscription | undefined
  #connectedMs = 0
  #failures = 0

  constructor(driver: Driver, parts: SideParts) {
    this.driver = driver
    this.#parts = parts
  }

  /** Undefined while it is lost. */
  get subscription(): Subscription | undefined {
    return this.#subscription
  }

  /** @throws what the driver throws */
  async connect(): Promise<void> {
    const { subscribe, clock } = this.#parts
    const subscription = await subscribe()
    if (this.#ended.signal.aborted) return subscription.close()
    this.#subscription = subscription
    this.#connectedMs = clock.monotonicMs()
  }

  /** Call it when its subscription is broken. It is rebuilt while the other side works. */
  lost(reason: unknown): void {
    const { clock } = this.#parts
    if (clock.monotonicMs() - this.#connectedMs > workerDefaults.resubscribeMaxMs) this.#failures = 0
    const broken = this.#subscription
    this.#subscription = undefined
    void broken?.close().catch(() => undefined)
    void this.mend(reason)
  }

  /** Tries until it has a subscription, or ends. Never rejects. */
  async mend(reason: unknown): Promise<void> {
    const { queues, clock, logger, mended } = this.#parts
    const { resubscribeMinMs, resubscribeMaxMs } = workerDefaults
    const { signal } = this.#ended
    for (let error = reason; !signal.aborted;) {
      this.#failures += 1
      const waitMs = Math.round(backoffMs(this.#failures, resubscribeMinMs, resubscribeMaxMs))
      logger.warn(
        { err: error, driver: this.driver.name, queues, failures: this.#failures, waitMs },
        `the subscription of ${describeQueues(queues)} failed during a transfer; it is tried again`,
      )
      await clock.sleep(waitMs, signal)
      if (signal.aborted) return
      try {
        await this.connect()
        mended()
        return
      } catch (again) {
        error = again
      }
    }
  }

  /** Hands back every unacked ticket. */
  async end(): Promise<void> {
    this.#ended.abort()
    await this.#subscription?.close()
  }
}
