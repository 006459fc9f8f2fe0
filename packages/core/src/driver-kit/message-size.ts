/** How many tickets the messages of a lane hold, on a moving average. */
export class MessageSize {
  readonly #weight: number
  #tickets = 1

  /** @param weight of what was learned last, from 0 to 1. */
  constructor(weight: number) {
    this.#weight = weight
  }

  /** So many messages held so many tickets. */
  learn(messages: number, tickets: number): void {
    if (messages > 0 && tickets > 0) this.#tickets += this.#weight * (tickets / messages - this.#tickets)
  }

  /** How many messages probably hold this many tickets; at least one. */
  messagesFor(tickets: number): number {
    return Math.max(1, Math.ceil(tickets / this.#tickets))
  }

  /** How many tickets this many messages probably hold. */
  ticketsIn(messages: number): number {
    return Math.floor(messages * this.#tickets)
  }
}
