import type { Fence, Refused, Settled, StoredEventType, StoredState, Ticket } from '@errand/core/ports'
import { toStoredEventType, toStoredState } from './codes.ts'
import { lane, maybeNumber } from './rows.ts'

interface Fact {
  readonly result: Settled['result']
  readonly event: StoredEventType
  readonly state: StoredState
  readonly runAt: number | undefined
}

const success: Fact = { result: 'settled', event: 'succeeded', state: 'succeeded', runAt: undefined }
const noTickets: readonly Ticket[] = []

/** What the function answered, row by row. */
export class SettledFacts {
  readonly locked: Set<string> = new Set()
  readonly #logId: string
  readonly #facts = new Map<string, Fact>()
  readonly #tickets = new Map<string, Ticket[]>()
  readonly #pending = new Set<string>()
  readonly #refused = new Map<string, string>()

  constructor(logId: string) {
    this.#logId = logId
  }

  read(lines: readonly string[]): void {
    for (const line of lines.flatMap((text) => text.split('\n'))) {
      const [word, id = '', ...rest] = line.split('\t')
      if (word === '') continue
      if (word === 'settled' || word === 'already' || word === 'claim-lost') this.#settled(word, id, rest)
      else if (word === 'next') this.#next(id, rest[0]!, lane(rest[1]), rest[2]!)
      else if (word === 'pending') this.#pending.add(id)
      else if (word === 'locked') this.locked.add(id)
    }
  }

  refused({ id }: Fence, why: string): void {
    this.#refused.set(id.toLowerCase(), why)
  }

  succeeded(fences: readonly Fence[]): void {
    for (const { id } of fences) this.#facts.set(id.toLowerCase(), success)
  }

  answer(fence: Fence): Settled | Refused {
    const known = this.known(fence)
    if (known) return known
    const { id: asked, run } = fence
    const id = asked.toLowerCase()
    const why = this.locked.has(id)
      ? 'another transaction has locked the job for too long'
      : this.#refused.get(id)
    if (why !== undefined) return { id: asked, run, result: 'refused', why }
    return {
      id: asked,
      run,
      result: 'claim-lost',
      event: 'fenced',
      state: 'failed',
      tickets: [],
      pending: false,
    }
  }

  /** Undefined if nothing was recorded. */
  known({ id: asked, run }: Fence): Settled | undefined {
    const id = asked.toLowerCase()
    const fact = this.#facts.get(id)
    if (!fact) return undefined
    return {
      id: asked,
      run,
      result: fact.result,
      event: fact.event,
      state: fact.state,
      runAt: fact.runAt,
      tickets: this.#tickets.get(id) ?? noTickets,
      pending: this.#pending.has(id),
    }
  }

  #settled(result: Settled['result'], id: string, rest: readonly string[]): void {
    // A part of this call had recorded it, before the rest was refused and offered in halves.
    if (result === 'already' && this.#facts.get(id)?.result === 'settled') return
    const [event, state, runAt, queue, rank] = rest
    this.#facts.set(id, {
      result,
      event: toStoredEventType(event),
      state: toStoredState(state),
      runAt: runAt ? maybeNumber(runAt) : undefined,
    })
    if (result === 'settled' && toStoredState(state) === 'ready') this.#ticket(id, id, lane(rank), queue!)
  }

  /** It may be one of those that were settled: it went on at once, and its limit let it go. */
  #next(of: string, id: string, rank: Ticket['lane'], queue: string): void {
    const fact = this.#facts.get(id)
    if (fact?.state === 'blocked') this.#facts.set(id, { ...fact, event: 'unblocked', state: 'ready' })
    this.#ticket(of, id, rank, queue)
  }

  #ticket(of: string, id: string, lane: Ticket['lane'], queue: string): void {
    const tickets = this.#tickets.get(of) ?? []
    tickets.push({ id, queue, lane, log: this.#logId })
    this.#tickets.set(of, tickets)
  }
}
