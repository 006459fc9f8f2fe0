import { ErrandError } from '@errand/core/ports'
import type {
  Encoded,
  ErrorCode,
  Fence,
  Logger,
  Refused,
  Settled,
  SettledOutcome,
  Settlement,
  StoredEventType,
  StoredState,
  Ticket,
  Transaction,
  WorkerRef,
} from '@errand/core/ports'
import { halving, splitIntoBatches } from './batches.ts'
import { eventCode, settleCode, stateCode, toStoredEventType, toStoredState } from './codes.ts'
import type { Database } from './database.ts'
import { insideError, isLockTimeout, isRefusedData } from './failures.ts'
import { arrayLiteral, isStorable, isUuid, jsonMembers } from './literals.ts'
import { noteAside, setAsideHeirs } from './set-aside.ts'
import { lane, maybeNumber } from './rows.ts'
import { recognizeTransaction } from './transaction.ts'

/** How long a settlement waits for a locked row, when it is repeated alone. */
const rowWait = '5s'

/** An outcome as the function takes it: a number, and the parts that belong to it. */
interface Encoding {
  readonly id: string
  readonly run: number
  readonly kind: number
  readonly delayMs?: number | undefined
  readonly body?: Encoded | undefined
  readonly extra?: string | null | undefined
  readonly durationMs: number
}

/** Records how runs ended: `settle` and `complete` of the port. */
export class Settler {
  readonly #database: Database
  readonly #logger: Logger
  readonly #logId: () => string
  readonly #text: string
  readonly #succeededText: string

  constructor(database: Database, logger: Logger, logId: () => string) {
    this.#database = database
    this.#logger = logger
    this.#logId = logId
    this.#text = `select ${database.rule('settle')}($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`
    this.#succeededText = `select ${database.rule('settle_succeeded')}($1, $2, $3, $4, $5, $6)`
  }

  async settle(settlements: readonly Settlement[], by: WorkerRef): Promise<readonly (Settled | Refused)[]> {
    if (new Set(settlements.map(({ id }) => id)).size === settlements.length)
      return this.#round(settlements, by)
    const answers: (Settled | Refused)[] = []
    answers.length = settlements.length
    // The same job twice: the second is answered after the first.
    let open = settlements.map((settlement, index) => ({ settlement, index }))
    while (open.length > 0) {
      const ids = new Set<string>()
      const round = open.filter(({ settlement: { id } }) => !ids.has(id) && ids.add(id))
      open = open.filter((entry) => !round.includes(entry))
      const settled = await this.#round(
        round.map(({ settlement }) => settlement),
        by,
      )
      for (const [at, { index }] of round.entries()) answers[index] = settled[at]!
    }
    return answers
  }

  /** @throws `E_CLAIM_LOST`, `E_TRANSACTION` */
  async complete(fence: Fence, result: Encoded | undefined, by: WorkerRef, tx: Transaction): Promise<void> {
    const inside = recognizeTransaction(tx)
    if (result && !isStorable(result.text))
      throw new ErrandError(
        'E_RESULT_INVALID',
        'the result holds a NUL or half of a surrogate pair, which no text can store',
      )
    try {
      await inside(`select ${this.#database.rule('complete')}($1, $2, $3, $4, $5) as answer`, [
        fence.id,
        String(fence.run),
        result?.codec ?? null,
        result?.text ?? null,
        by.id,
      ])
    } catch (error) {
      throw insideError(error, this.#database.place)
    }
  }

  async #round(settlements: readonly Settlement[], by: WorkerRef): Promise<readonly (Settled | Refused)[]> {
    const encoded = settlements.map(encode)
    for (let at = 0; at < encoded.length; at += 1) {
      const one = encoded[at]!
      if (one.body && !isStorable(one.body.text)) encoded[at] = unstorable(one)
    }
    const facts = new Facts(this.#logId())
    for (const batch of splitIntoBatches(encoded, (one) => (one.body?.text.length ?? 0) + 200)) {
      const lines = await halving<Encoding, string>(batch, {
        run: async (part) => this.#send(await this.#succeed(part, by, facts), by, null),
        isCulprit: isRefusedData,
        alone: (one, error) => this.#instead(one, by, facts, error),
      })
      facts.read(lines)
    }
    // Locked rows, mostly by a caller's transaction that completes the job. Nothing waited for them.
    for (const id of facts.locked) {
      const one = encoded.find((settlement) => settlement.id.toLowerCase() === id)
      if (one) facts.read(await this.#waiting(one, by))
    }
    return settlements.map((settlement) => facts.answer(settlement))
  }

  async #waiting(one: Encoding, by: WorkerRef): Promise<readonly string[]> {
    try {
      return await this.#send([one], by, rowWait)
    } catch (error) {
      if (!isLockTimeout(error)) throw error
      return []
    }
  }

  /** If the data of a settlement, or of its job, is refused, the others must still be recorded. */
  async #instead(one: Encoding, by: WorkerRef, facts: Facts, refusal: unknown): Promise<string> {
    try {
      // It may be the row of the job that waits behind it for its key.
      if (isUuid(one.id) && (await setAsideHeirs(this.#database, this.#logger, [one.id])) > 0)
        return (await this.#send([one], by, null)).join('\n')
    } catch (error) {
      if (!isRefusedData(error)) throw error
    }
    try {
      return (await this.#send([unstorable(one)], by, null)).join('\n')
    } catch (error) {
      if (!isRefusedData(error)) throw error
      const why = (refusal as Error).message
      const [row] = await this.#database.query(
        'errand_set_aside_unsettled',
        `select ${this.#database.rule('set_aside_unsettled')}($1, $2, $3, $4)`,
        [one.id, one.run, by.id, why],
      )
      const name = row?.[0]
      if (typeof name === 'string') {
        noteAside(this.#logger, [one.id.toLowerCase(), name, why])
        return ['settled', one.id.toLowerCase(), eventCode.failed, stateCode.failed, '', '', ''].join('\t')
      }
      facts.refused(one, why)
      return ''
    }
  }

  /** The short way, for runs that succeeded and hold no key. `settle` decides about the rest. */
  async #succeed(part: readonly Encoding[], by: WorkerRef, facts: Facts): Promise<readonly Encoding[]> {
    if (!part.every(({ id, kind }) => kind === settleCode.succeed && isUuid(id))) return part
    try {
      const [row] = await this.#database.query('errand_settle_succeeded', this.#succeededText, [
        arrayLiteral(part.map(({ id }) => id)),
        arrayLiteral(part.map(({ run }) => run)),
        arrayLiteral(part.map(({ body }) => body?.codec)),
        arrayLiteral(part.map(({ body }) => body?.text)),
        arrayLiteral(part.map(({ durationMs }) => durationMs)),
        by.id,
      ])
      const answer = row?.[0]
      if (answer === null || answer === undefined) {
        facts.succeeded(part)
        return []
      }
      const settled = new Set(answer.split(','))
      const isSettled = ({ id }: Encoding): boolean => settled.has(id.toLowerCase())
      facts.succeeded(part.filter(isSettled))
      return part.filter((one) => !isSettled(one))
    } catch (error) {
      if (!isLockTimeout(error)) throw error
      return part
    }
  }

  async #send(
    part: readonly Encoding[],
    by: WorkerRef,
    lockTimeout: string | null,
  ): Promise<readonly string[]> {
    const known = part.filter(({ id }) => isUuid(id))
    if (known.length === 0) return []
    const [row] = await this.#database.query('errand_settle', this.#text, [
      arrayLiteral(known.map(({ id }) => id)),
      arrayLiteral(known.map(({ run }) => run)),
      arrayLiteral(known.map(({ kind }) => kind)),
      arrayLiteral(known.map(({ delayMs }) => delayMs)),
      arrayLiteral(known.map(({ body }) => body?.codec)),
      arrayLiteral(known.map(({ body }) => body?.text)),
      arrayLiteral(known.map(({ durationMs }) => jsonMembers({ durationMs }))),
      arrayLiteral(known.map(({ extra }) => extra)),
      by.id,
      lockTimeout,
    ])
    return row?.[0]?.split('\n') ?? []
  }
}

/**
 * An outcome with text that cannot be stored fails its job. It must not fail others, and another run would end the
 * same.
 */
function unstorable(one: Encoding): Encoding {
  if (one.kind !== settleCode.succeed) return { ...one, body: failureBody('error not storable', 'E_LOG') }
  return {
    ...one,
    kind: settleCode.error,
    delayMs: undefined,
    body: failureBody('result not storable', 'E_RESULT_INVALID'),
    extra: jsonMembers({ cause: 'error' }),
  }
}

function encode({ id, run, durationMs: ms, outcome }: Settlement): Encoding {
  const durationMs = Math.round(ms)
  if (outcome.kind !== 'succeed') return { id, run, durationMs, ...toParts(outcome) }
  return { id, run, durationMs, kind: settleCode.succeed, body: outcome.result }
}

type OutcomeParts = Pick<Encoding, 'kind' | 'delayMs' | 'body' | 'extra'>

function toParts(outcome: Exclude<SettledOutcome, { readonly kind: 'succeed' }>): OutcomeParts {
  switch (outcome.kind) {
    case 'error':
      return toErrorParts(settleCode.error, outcome.error, outcome.cause, outcome.retryInMs)
    case 'completed':
      return toErrorParts(settleCode.completed, outcome.error, 'error', outcome.retryInMs)
    case 'fail':
      return toErrorParts(settleCode.fail, outcome.error, outcome.cause, undefined)
    case 'snooze':
      return {
        kind: outcome.parked ? settleCode.park : settleCode.snooze,
        delayMs: Math.round(outcome.delayMs),
        extra: jsonMembers({ reason: outcome.reason }),
      }
    case 'cancel':
      return { kind: settleCode.cancel, extra: jsonMembers({ reason: outcome.reason }) }
    case 'release':
      return {
        kind: outcome.begun ? settleCode.releaseBegun : settleCode.releaseUnbegun,
        body: outcome.error,
        extra: jsonMembers({ why: outcome.why }),
      }
    default:
      return outcome satisfies never
  }
}

function toErrorParts(
  kind: number,
  body: Encoded,
  cause: string,
  retryInMs: number | undefined,
): OutcomeParts {
  const delayMs = retryInMs === undefined ? undefined : Math.round(retryInMs)
  return { kind, delayMs, body, extra: jsonMembers({ cause }) }
}

function failureBody(message: string, code: ErrorCode): Encoded {
  return { codec: 'json', text: JSON.stringify({ name: 'ErrandError', message, code }) }
}

interface Fact {
  readonly result: Settled['result']
  readonly event: StoredEventType
  readonly state: StoredState
  readonly runAt: number | undefined
}

const success: Fact = { result: 'settled', event: 'succeeded', state: 'succeeded', runAt: undefined }
const noTickets: readonly Ticket[] = []

/** What the function answered, row by row. */
class Facts {
  readonly locked = new Set<string>()
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
      else if (word === 'next') this.#ticket(id, rest[0]!, lane(rest[1]), rest[2]!)
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

  answer({ id: asked, run }: Fence): Settled | Refused {
    const id = asked.toLowerCase()
    const fact = this.#facts.get(id)
    if (!fact) {
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
        keyPending: false,
      }
    }
    return {
      id: asked,
      run,
      result: fact.result,
      event: fact.event,
      state: fact.state,
      runAt: fact.runAt,
      tickets: this.#tickets.get(id) ?? noTickets,
      keyPending: this.#pending.has(id),
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

  #ticket(of: string, id: string, lane: Ticket['lane'], queue: string): void {
    const tickets = this.#tickets.get(of) ?? []
    tickets.push({ id, queue, lane, log: this.#logId })
    this.#tickets.set(of, tickets)
  }
}
