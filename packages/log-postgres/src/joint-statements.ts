import type { Column, Database, Row, Value } from './database.ts'
import { claimColumns, noClaimColumns } from './rows.ts'

/** The rules that one statement calls, each with its parameters. */
export interface JointCall {
  readonly settleSucceeded: readonly Value[] | undefined
  readonly settle: readonly Value[] | undefined
  readonly take?: readonly Value[] | undefined
}

export interface JointAnswer {
  /** Of `settle_succeeded`. Undefined: it was not called. */
  readonly succeeded: Column | undefined
  /** Of `settle`. Undefined: it was not called. */
  readonly settled: Column | undefined
  /** Of `take`. */
  readonly taken: readonly Row[]
}

/**
 * Calls the rules that settle, and after them the one that takes, in one statement: one round trip and one transaction. The
 * rules stay as they are. Each of their own statements sees what those before it have written, because the rules are volatile.
 */
export class JointStatements {
  readonly #database: Database
  readonly #texts = new Map<string, string>()

  constructor(database: Database) {
    this.#database = database
  }

  async run(call: JointCall): Promise<JointAnswer> {
    const { settleSucceeded, settle, take } = call
    const parts = [settleSucceeded && 'settle_succeeded', settle && 'settle', take && 'take']
    const name = ['errand', ...parts.filter((part) => part !== undefined)].join('_')
    let text = this.#texts.get(name)
    if (text === undefined) this.#texts.set(name, (text = this.#write(call)))
    const values = [...(settleSucceeded ?? []), ...(settle ?? []), ...(take ?? [])]
    const [first, ...taken] = await this.#database.query(name, text, values)
    return {
      succeeded: settleSucceeded && (first?.[0] ?? null),
      settled: settle && (first?.[settleSucceeded ? 1 : 0] ?? null),
      taken,
    }
  }

  #write({ settleSucceeded, settle, take }: JointCall): string {
    let count = 0
    const call = (rule: string, values: readonly Value[]): string =>
      `${this.#database.rule(rule)}(${values.map(() => `$${(count += 1)}`).join(', ')})`
    const settling: string[] = []
    if (settleSucceeded) settling.push(call('settle_succeeded', settleSucceeded))
    if (settle) settling.push(call('settle', settle))
    if (!take) return `select ${settling.join(', ')}`
    // The rows of the answer have as many columns as the longer half.
    return (
      `select ${settling.join(', ')}, ${'null, '.repeat(2 - settling.length)}null, ${noClaimColumns}` +
      ` union all select null, null, seq, ${claimColumns} from ${call('take', take)}`
    )
  }
}

/** Where a row of `taken` begins. */
export const takenAt = 2
