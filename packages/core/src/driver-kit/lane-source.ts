import type { Lane } from '../job/lane.ts'

/** A message as a broker delivers it. */
export interface LaneMessage<Handle = unknown> {
  /** What `decodeTicket` reads. */
  readonly text: string | Uint8Array | undefined
  /** What the broker wants to see again when the message is acked or handed back. */
  readonly handle: Handle
  /** The broker's name for the message, for the log. */
  readonly id?: string | undefined
}

/** One lane of a queue on the broker. Keep it as long as the driver lives: its pauses after failures belong to it. */
export interface LaneSource<Handle = unknown> {
  readonly lane: Lane
  /** The broker's name for it, for errors and the log. */
  readonly name: string
  /**
   * Takes at most `max` messages, and hides them from others. Waits at most `waitMs` for the first one; 0: answers at once.
   * @param signal aborts when the subscription closes.
   * @throws `E_DRIVER`; it is asked again, with pauses.
   */
  receive(max: number, waitMs: number, signal: AbortSignal): Promise<readonly LaneMessage<Handle>[]>
  /** The broker may forget the message. @throws when it comes again; the claim then refuses it. */
  ack(handle: Handle): Promise<void>
  /** The broker shall hand the message out again, at once. @throws when it comes later, by itself. */
  release(handle: Handle): Promise<void>
  /** The message is no ticket, and must not come again. Default: `ack`. */
  setAside?(handle: Handle): Promise<void>
  /** The subscription closes: acks that gather wait no longer. */
  flush?(): void
}
