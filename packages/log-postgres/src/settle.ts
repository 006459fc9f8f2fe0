import { ErrandError } from '@errand/core/ports'
import type {
  Encoded,
  Fence,
  Logger,
  Refused,
  Settled,
  SettledAndTaken,
  Settlement,
  Transaction,
  WorkerRef,
} from '@errand/core/ports'
import { halving } from './batches.ts'
import type { Taking } from './claims.ts'
import { eventCode, stateCode } from './codes.ts'
import type { Database } from './database.ts'
import {
  encodeOutcome,
  isSuccess,
  splitOutcomes,
  toSettleCall,
  toSettleValues,
  unstorable,
} from './encoded-outcome.ts'
import type { EncodedOutcome } from './encoded-outcome.ts'
import { insideError, isLockTimeout, isRefusedData } from './failures.ts'
import { JointStatements, takenAt } from './joint-statements.ts'
import type { JointAnswer } from './joint-statements.ts'
import { isStorable, isUuid } from './literals.ts'
import { noteAside, setAsideHeirs } from './set-aside.ts'
import { SettledFacts } from './settled-facts.ts'
import { recognizeTransaction } from './transaction.ts'

/** How long a settlement waits for a locked row, when it is repeated alone. */
const rowWait = '5s'

/** Records how runs ended: `settle` and `complete` of the port. */
export class Settler {
  readonly #database: Database
  readonly #logger: Logger
  readonly #logId: () => string
  readonly #statements: JointStatements

  constructor(database: Database, logger: Logger, logId: () => string) {
    this.#database = database
    this.#logger = logger
    this.#logId = logId
    this.#statements = new JointStatements(database)
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

  /** With a take, in one statement. What would need another one is left undefined. */
  async settleAnd(
    taking: Taking,
    settlements: readonly Settlement[],
    by: WorkerRef,
  ): Promise<SettledAndTaken> {
    const encoded = settlements.map(encodeOutcome)
    const ids = new Set(settlements.map(({ id }) => id.toLowerCase()))
    const isOne = splitOutcomes(encoded).length === 1 && ids.size === settlements.length
    const call = isOne ? toSettleCall(encoded, by) : undefined
    if (!call?.settleSucceeded && !call?.settle)
      throw new ErrandError('E_LOG', 'these outcomes and the request for jobs need a statement each')
    const answer = await this.#statements.run({ ...call, take: taking.values })
    const facts = new SettledFacts(this.#logId())
    const { lines } = readAnswer(encoded, answer, facts)
    facts.read(lines)
    return {
      settled: settlements.map((settlement) => facts.known(settlement)),
      claims: taking.read(answer.taken, takenAt),
    }
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
    const encoded = settlements.map(encodeOutcome)
    const facts = new SettledFacts(this.#logId())
    for (const batch of splitOutcomes(encoded)) {
      const lines = await halving<EncodedOutcome, string>(batch, {
        run: (part) => this.#record(part, by, facts),
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

  async #waiting(one: EncodedOutcome, by: WorkerRef): Promise<readonly string[]> {
    try {
      return await this.#send([one], by, rowWait)
    } catch (error) {
      if (!isLockTimeout(error)) throw error
      return []
    }
  }

  /** If the data of a settlement, or of its job, is refused, the others must still be recorded. */
  async #instead(one: EncodedOutcome, by: WorkerRef, facts: SettledFacts, refusal: unknown): Promise<string> {
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

  /** Most runs have succeeded: there is a short way for them. `settle` decides about the rest. */
  async #record(
    part: readonly EncodedOutcome[],
    by: WorkerRef,
    facts: SettledFacts,
  ): Promise<readonly string[]> {
    try {
      const answer = await this.#statements.run(toSettleCall(part, by))
      const { lines, left } = readAnswer(part, answer, facts)
      return left.length === 0 ? lines : [...lines, ...(await this.#send(left, by, null))]
    } catch (error) {
      if (!isLockTimeout(error)) throw error
      return this.#send(part, by, null)
    }
  }

  async #send(
    part: readonly EncodedOutcome[],
    by: WorkerRef,
    lockTimeout: string | null,
  ): Promise<readonly string[]> {
    const known = part.filter(({ id }) => isUuid(id))
    if (known.length === 0) return []
    const settle = toSettleValues(known, by, lockTimeout)
    const { settled } = await this.#statements.run({ settleSucceeded: undefined, settle })
    return settled?.split('\n') ?? []
  }
}

/** The facts of an answer to `toSettleCall`: the lines of `settle`, and which outcomes it must still decide about. */
function readAnswer(
  part: readonly EncodedOutcome[],
  { succeeded, settled }: JointAnswer,
  facts: SettledFacts,
): { readonly lines: readonly string[]; readonly left: readonly EncodedOutcome[] } {
  const lines = settled?.split('\n') ?? []
  if (succeeded === undefined) return { lines, left: [] }
  const successes = part.filter((one) => isUuid(one.id) && isSuccess(one))
  if (succeeded === null) {
    facts.succeeded(successes)
    return { lines, left: [] }
  }
  const [ids = '', ...passed] = succeeded.split('\n')
  const done = new Set(ids.split(','))
  const isDone = ({ id }: EncodedOutcome): boolean => done.has(id.toLowerCase())
  facts.succeeded(successes.filter(isDone))
  return { lines: [...passed, ...lines], left: successes.filter((one) => !isDone(one)) }
}
