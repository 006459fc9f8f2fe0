import type { PublishReport, Ticket } from '@errand/core/ports'
import type { Fate } from './api.ts'

/** What is known of the tickets of one publish. Those of a request that failed as a whole are in no list: they may be there. */
export class Report {
  readonly #accepted: Ticket[] = []
  readonly #refused: { readonly ticket: Ticket; readonly why: string }[] = []
  #error: { readonly thrown: unknown } | undefined

  answered(ticket: Ticket, fate: Fate): void {
    if (fate.done) this.#accepted.push(ticket)
    else
      this.#refused.push({ ticket, why: fate.message === '' ? fate.code : `${fate.code}: ${fate.message}` })
  }

  failed(error: unknown): void {
    this.#error ??= { thrown: error }
  }

  /** @throws `E_DRIVER` when nothing is known, because every request failed. */
  read(): PublishReport {
    if (this.#error && this.#accepted.length + this.#refused.length === 0) throw this.#error.thrown
    return { accepted: [...this.#accepted], refused: [...this.#refused] }
  }
}
