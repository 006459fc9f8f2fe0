import type { Socket } from 'node:net'
import { hostname } from 'node:os'
import { connect as amqpConnect, credentials } from 'amqplib'
import type { Channel, ChannelModel, ConfirmChannel, Options, SocketOptions } from 'amqplib'
import { driverError, inTime, readMessage, unlessAborted } from '@errand/core/driver-kit'
import { ErrandError } from '@errand/core/ports'
import type { Clock } from '@errand/core/ports'
import type { Endpoint } from './endpoint.ts'
import { isVhostRefusal } from './errors.ts'
import type { Settings } from './options.ts'
import { readRefusal } from './refusal.ts'

/** The broker answers in milliseconds, and a first declaration in a busy cluster in seconds. */
const answerTimeoutMs = 15_000
/** The least time per host, however many hosts share the time. */
const leastTimeoutMs = 1_000
/** How long a live connection may take to answer. */
const signOfLifeMs = 5_000
/**
 * How often a connection is checked for bytes in each heartbeat, and how many heartbeats without one end it. RabbitMQ
 * checks twice per heartbeat whether it has sent something, so at most one heartbeat passes without a byte.
 */
const looksPerHeartbeat = 4
const mostQuietHeartbeats = 1.5
/** How long an orderly close may take before the socket is destroyed. */
const goodbyeMs = 2_000

/** What a connection is for. There are two, because a broker that blocks publishers stops reading their connection. */
export type Purpose = 'publish' | 'consume'

/** One connection. Once it has ended, it stays so, and the link makes a new one. */
export class Connection {
  readonly where: string
  readonly #model: ChannelModel
  readonly #clock: Clock
  readonly #answerTimeoutMs: number
  readonly #ended = new AbortController()
  readonly #blockedListeners = new Set<() => void>()
  readonly #looking: NodeJS.Timeout | undefined
  #blocked: string | undefined

  constructor(model: ChannelModel, where: string, clock: Clock, timeoutMs: number = answerTimeoutMs) {
    this.where = where
    this.#model = model
    this.#clock = clock
    this.#answerTimeoutMs = timeoutMs
    let last: unknown
    // amqplib throws if nobody listens to errors. It reports the reason of an end in either of the two events.
    model.on('error', (error) => (last = error))
    model.on('close', (error) => this.#end(error ?? last))
    model.on('blocked', (reason) => {
      this.#blocked = reason
      for (const listener of this.#blockedListeners) listener()
    })
    model.on('unblocked', () => (this.#blocked = undefined))
    this.#looking = this.#look()
  }

  /**
   * Drops it after one and a half heartbeats without a byte of the broker. amqplib looks once in a heartbeat, and so notices
   * after two to three. Looks are counted, and no time: behind a handler that has kept the event loop to itself nothing was read.
   */
  #look(): NodeJS.Timeout | undefined {
    const { stream, heartbeat = 0 } = toInner(this.#model)
    if (heartbeat === 0) return undefined
    let read = stream?.bytesRead
    let quiet = 0
    const look = (): void => {
      quiet = stream?.bytesRead === read ? quiet + 1 : 0
      read = stream?.bytesRead
      if (quiet >= looksPerHeartbeat * mostQuietHeartbeats)
        this.drop(`silent for ${mostQuietHeartbeats * heartbeat} s`)
    }
    return setInterval(look, (heartbeat * 1_000) / looksPerHeartbeat).unref()
  }

  /** Aborts, with the reason as an `E_DRIVER`, when the connection is gone. */
  get ended(): AbortSignal {
    return this.#ended.signal
  }

  /** Why the broker does not read published messages: it lacks memory or disk. */
  get blocked(): string | undefined {
    return this.#blocked
  }

  onBlocked(listener: () => void): void {
    this.#blockedListeners.add(listener)
  }

  offBlocked(listener: () => void): void {
    this.#blockedListeners.delete(listener)
  }

  channel(): Promise<Channel> {
    return this.#newChannel(() => this.#model.createChannel())
  }

  confirmChannel(): Promise<ConfirmChannel> {
    return this.#newChannel(() => this.#model.createConfirmChannel())
  }

  async #newChannel<C extends Channel>(create: () => Promise<C>): Promise<C> {
    const channel = await this.answer('channel.open', create)
    // A failed channel does not fail the connection. Its users learn of it by their own listener or their rejected
    // call.
    channel.on('error', () => {})
    channel.on('handler-error', () => {})
    return channel
  }

  /**
   * Waits for one answer of the broker; `what` is AMQP's name of the question. When none comes for long, either the
   * connection is dead, whatever TCP says, and is dropped; or one queue is (a quorum queue without a leader answers
   * nothing), and that must not cost the others their connection.
   * @throws `E_DRIVER` when the connection is lost or the answer does not come; else as `ask`.
   */
  async answer<T>(what: string, ask: () => Promise<T>): Promise<T> {
    if (this.ended.aborted) throw this.reason
    const fail = (): never => {
      throw this.reason
    }
    try {
      // Not every promise of amqplib ends with the connection: a channel that is being closed waits for ever.
      const answered = unlessAborted(ask(), this.ended, fail)
      return await inTime(answered, this.#answerTimeoutMs, this.#clock, async () => {
        await this.#signOfLife()
        throw this.#silence(what)
      })
    } catch (error) {
      throw this.ended.aborted ? this.reason : error
    }
  }

  #silence(what: string): ErrandError {
    return driverError(
      `RabbitMQ at ${this.where} did not answer ${what} within ${this.#answerTimeoutMs} ms, but is alive: does the queue have a leader? (rabbitmq-queues quorum_status)`,
    )
  }

  /** Opens a channel, which needs no queue. Drops the connection if even that is not answered. Never rejects. */
  async #signOfLife(): Promise<void> {
    const stop = this.#clock.after(signOfLifeMs, () => this.drop(`no answer for ${this.#answerTimeoutMs} ms`))
    try {
      const channel = await unlessAborted(this.#model.createChannel(), this.ended, () => undefined)
      channel?.on('error', () => {})
      channel?.close().catch(() => {})
    } catch {
      this.drop(`no answer for ${this.#answerTimeoutMs} ms`)
    } finally {
      stop()
    }
  }

  /** Why it ended. */
  get reason(): ErrandError {
    const reason: unknown = this.ended.reason
    return reason instanceof ErrandError
      ? reason
      : driverError(`the connection to RabbitMQ at ${this.where} has ended`)
  }

  /** Ends it at once, without an orderly close: the other side does not answer. */
  drop(why: string): void {
    this.#end(new Error(why))
    this.#destroySocket()
  }

  /** An orderly end: unacked deliveries go back. Never rejects. */
  async close(): Promise<void> {
    if (this.ended.aborted) return
    const stop = this.#clock.after(goodbyeMs, () => this.drop('closed by this process, without an answer'))
    await this.answer('connection.close', () => this.#model.close()).catch(() => {})
    stop()
    this.#end(new Error('closed by this process'))
  }

  #end(why: unknown): void {
    if (this.ended.aborted) return
    clearInterval(this.#looking)
    const reason = why === undefined ? 'closed' : readMessage(why)
    this.#ended.abort(driverError(`the connection to RabbitMQ at ${this.where} was lost (${reason})`, why))
  }

  /** amqplib cannot give up a connection. */
  #destroySocket(): void {
    toInner(this.#model).stream?.destroy?.(new Error('given up'))
  }
}

/** @throws what amqplib, the socket or the broker said. */
export async function connect(
  endpoint: Endpoint,
  purpose: Purpose,
  settings: Settings,
  clock: Clock,
): Promise<Connection> {
  const { protocol, host, port, user, password, vhost } = endpoint
  const target: Options.Connect = {
    protocol,
    hostname: host,
    port,
    username: user,
    password,
    // amqplib decodes it.
    vhost: encodeURIComponent(vhost),
    heartbeat: settings.heartbeatSeconds,
  }
  const { auth, endpoints, connectTimeoutMs } = settings
  const timeoutMs = Math.max(leastTimeoutMs, connectTimeoutMs / endpoints.length)
  try {
    const model = await amqpConnect(target, socketOptions(purpose, settings, timeoutMs))
    letProcessEnd(model)
    return new Connection(model, endpoint.where, clock)
  } catch (error) {
    if (!isVhostRefusal(error)) throw error
    const refusal = await readRefusal(endpoint, auth, tlsOptions(settings), timeoutMs)
    throw refusal ? Object.assign(new Error(refusal.text), { code: refusal.code }) : error
  }
}

/** What amqplib's types leave out. */
interface Inner {
  readonly stream?: Partial<Pick<Socket, 'unref' | 'destroy' | 'bytesRead'>>
  /** As client and broker have agreed, in seconds. */
  readonly heartbeat?: number
  readonly heartbeater?: { readonly sendTimer?: Unrefable; readonly recvTimer?: Unrefable } | null
}

function toInner(model: ChannelModel): Inner {
  return model.connection as unknown as Inner
}

/** An idle connection must not keep the process alive: core does while somebody waits. */
function letProcessEnd(model: ChannelModel): void {
  const { stream, heartbeater } = toInner(model)
  stream?.unref?.()
  heartbeater?.sendTimer?.unref()
  heartbeater?.recvTimer?.unref()
}

interface Unrefable {
  unref(): void
}

function socketOptions(purpose: Purpose, settings: Settings, timeout: number): SocketOptions {
  const { prefix, auth } = settings
  return {
    // Without it every publish waits up to 40 ms for a delayed ack of TCP.
    noDelay: true,
    keepAlive: true,
    timeout,
    clientProperties: { connection_name: `${prefix} ${purpose} ${hostname()}:${process.pid}` },
    ...(auth === 'external' ? { credentials: credentials.external() } : {}),
    ...tlsOptions(settings),
  }
}

function tlsOptions({
  tls,
}: Settings): Pick<SocketOptions, 'ca' | 'cert' | 'key' | 'passphrase' | 'servername'> {
  const { ca, cert, key, passphrase, serverName } = tls
  return {
    ...(ca === undefined ? {} : { ca: typeof ca === 'string' || Buffer.isBuffer(ca) ? ca : [...ca] }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(passphrase === undefined ? {} : { passphrase }),
    ...(serverName === undefined ? {} : { servername: serverName }),
  }
}
