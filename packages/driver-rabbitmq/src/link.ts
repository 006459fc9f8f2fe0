import { Backoff } from '@errand/core/driver-kit'
import { outside } from '@errand/core/ports'
import type { Clock, Logger } from '@errand/core/ports'
import { connect } from './connection.ts'
import type { Connection, Purpose } from './connection.ts'
import type { Endpoint } from './endpoint.ts'
import { closedError, connectError, isPermanent } from './errors.ts'
import type { Refused } from './errors.ts'
import type { Settings } from './options.ts'

/** A connection that lasted this long was good: the pauses start over. */
const steadyMs = 5_000

/**
 * Keeps one connection alive. It connects on first use, and again whenever the connection is lost, with jittered
 * backoff. The caller that asked for the connection gets the error and logs it.
 */
export class Link {
  readonly #purpose: Purpose
  readonly #settings: Settings
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #stop = new AbortController()
  #current: Connection | undefined
  #attempt: Promise<Connection> | undefined
  /** The index of the host whose turn it is. */
  #turn = 0
  /** The last attempt failed for a reason that a person must fix. */
  #isPermanent = false
  readonly #backoff = new Backoff()
  #isAgain = false

  constructor(
    purpose: Purpose,
    settings: Settings,
    { clock, logger }: { readonly clock: Clock; readonly logger: Logger },
  ) {
    this.#purpose = purpose
    this.#settings = settings
    this.#clock = clock
    this.#logger = logger
  }

  /** The live connection. Waits for the attempt under way, with its pause, and rejects as it does. */
  connected(): Promise<Connection> {
    if (this.#stop.signal.aborted) return Promise.reject(closedError())
    if (this.#current) return Promise.resolve(this.#current)
    // Its socket and timers keep the context in which they are made, which must not be that of a request.
    return (this.#attempt ??= outside(() => this.#try()))
  }

  /** The live connection, if there is one: for calls that are not worth a new one. */
  get current(): Connection | undefined {
    return this.#current
  }

  /** Never rejects. */
  async close(): Promise<void> {
    this.#stop.abort()
    await this.#attempt?.catch(() => {})
    await this.#current?.close()
  }

  async #try(): Promise<Connection> {
    const waitMs = this.#backoff.remainingMs(this.#clock.monotonicMs())
    if (waitMs > 0) await this.#clock.sleep(waitMs, this.#stop.signal)
    if (this.#stop.signal.aborted) throw closedError()
    try {
      const connection = await this.#connect()
      this.#attempt = undefined
      if (this.#stop.signal.aborted) {
        await connection.close()
        throw closedError()
      }
      return this.#up(connection)
    } catch (error) {
      this.#attempt = undefined
      if (!this.#stop.signal.aborted) this.#failed(error)
      throw error
    }
  }

  /** Connects to the first host that accepts, beginning with the one whose turn it is. */
  async #connect(): Promise<Connection> {
    const { endpoints } = this.#settings
    const refused: Refused[] = []
    for (const [index] of endpoints.entries()) {
      if (this.#stop.signal.aborted) throw closedError()
      const endpoint = endpoints[(this.#turn + index) % endpoints.length] as Endpoint
      try {
        const connection = await connect(endpoint, this.#purpose, this.#settings, this.#clock)
        // The next one is for another host: this one has failed by then.
        this.#turn += index + 1
        return connection
      } catch (error) {
        refused.push({ endpoint, error })
      }
    }
    this.#isPermanent = isPermanent(refused)
    throw connectError(refused)
  }

  #up(connection: Connection): Connection {
    const { where } = connection
    if (this.#isAgain) this.#logger.debug({ where, purpose: this.#purpose }, 'connected to RabbitMQ again')
    const sinceMs = this.#clock.monotonicMs()
    this.#current = connection
    connection.ended.addEventListener('abort', () => {
      this.#current = undefined
      if (this.#stop.signal.aborted) return
      // At least one pause: a restarting broker must not meet all its clients at once.
      const nowMs = this.#clock.monotonicMs()
      if (nowMs - sinceMs > steadyMs) this.#backoff.succeeded()
      this.#backoff.failed(nowMs)
      this.#isAgain = true
      this.#logger.debug(
        { where, purpose: this.#purpose, why: connection.reason.message },
        'connection to RabbitMQ lost',
      )
      this.#again()
    })
    return connection
  }

  #failed(error: unknown): void {
    const waitMs = this.#backoff.failed(this.#clock.monotonicMs())
    this.#isAgain = true
    const facts = { purpose: this.#purpose, waitMs, err: error }
    this.#logger.debug(facts, 'cannot connect to RabbitMQ; it is tried again')
    // A wrong password is tried again when somebody asks, not in a loop that fills the broker's log.
    if (!this.#isPermanent) this.#again()
  }

  /** Starts the next attempt without a caller. */
  #again(): void {
    this.#attempt ??= this.#try()
    this.#attempt.catch(() => {})
  }
}
