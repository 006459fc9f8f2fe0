import type { Lane } from '../job/lane.ts'

/** A message as a broker delivers it. */
export interface SourceMessage<Handle = unknown> {
  /** What `decodeTickets` reads. */
  readonly text: string | Uint8Array | undefined
  /** What the broker needs to ack the message or to hand it back. */
  readonly handle: Handle
  /** The broker's name for the message, for the log. */
  readonly id?: string | undefined
  /**
   * False if the broker has never handed it out before. A message with several tickets that was handed out before is
   * delivered whole, because some of them may be done. Default true.
   */
  readonly redelivered?: boolean | undefined
}

/** Where messages come from, and how each is acked or handed back. */
export interface MessageSource<Handle = unknown> {
  /** The broker's name for it, for errors and the log. */
  readonly name: string
  readonly lane?: Lane | undefined
  /** The broker may forget the message. @throws if the message will come again; the claim then refuses it. */
  ack(handle: Handle): Promise<void>
  /** Asks the broker to hand the message out again, at once. @throws if the message will come again later, by itself. */
  release(handle: Handle): Promise<void>
  /** The message is no ticket, and must not come again. Default: `ack`. */
  setAside?(handle: Handle): Promise<void>
}

/** A queue whose lanes can be read together, in one quick step. */
export interface PullSource<Handle = unknown> extends MessageSource<Handle> {
  /**
   * Takes at most `max` of the messages that are there now, and hides them from others: highest lane first, except
   * `fromLowest` of them, which come from the lowest lane that has any.
   * @throws `E_DRIVER`; the worker subscribes again.
   */
  take(max: number, fromLowest: number): Promise<readonly SourceMessage<Handle>[]>
  /** Resolves when there may be more to take, and when the signal aborts. Never rejects. */
  arrival(signal: AbortSignal): Promise<void>
}

/** One lane of a queue on the broker. Keep it as long as the driver lives: its pauses after failures belong to it. */
export interface LaneSource<Handle = unknown> extends MessageSource<Handle> {
  readonly lane: Lane
  /**
   * Takes at most `max` messages, and hides them from others. Waits at most `waitMs` for the first one; 0: answers at once.
   * @param signal aborts when the subscription closes.
   * @throws `E_DRIVER`; it is asked again, with pauses.
   */
  receive(max: number, waitMs: number, signal: AbortSignal): Promise<readonly SourceMessage<Handle>[]>
  /** Called when the subscription closes: acks that wait to be sent together must be sent now. */
  flush?(): void
}
