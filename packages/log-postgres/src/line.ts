import type { PoolClient } from 'pg'
import { giveBack } from './connections.ts'

/** After this many statements, the connection goes back to the pool for a moment: another caller may wait for one. */
const mostJoined = 64

/**
 * A connection that several statements share. Each is sent right behind the one before, and the server runs them in
 * that order.
 */
export class Line {
  readonly client: Promise<PoolClient>
  /** Resolves when the connection has been given back. */
  readonly left: Promise<void>
  readonly #left = Promise.withResolvers<void>()
  #joined = 0
  #users = 0
  #over = false

  constructor(client: Promise<PoolClient>) {
    this.client = client
    this.left = this.#left.promise
  }

  /** Statements that wait or are under way. */
  get users(): number {
    return this.#users
  }

  get isOpen(): boolean {
    return !this.#over && this.#joined < mostJoined
  }

  join(): void {
    this.#joined += 1
    this.#users += 1
  }

  /** Gives the connection back with its last user, or at once if it is broken. Then nobody may join. */
  leave(broken: boolean): void {
    this.#users -= 1
    if (this.#over || (!broken && this.#users > 0)) return
    this.#over = true
    void this.client.then((client) => giveBack(client, broken)).catch(() => {})
    this.#left.resolve()
  }
}
