import { ErrandError } from '../../errors.ts'
import type { Call } from '../calls.ts'
import type { EngineHost, Rules } from '../job-log.ts'
import type { AsyncDatabase, AsyncTransaction, Locks } from './database.ts'
import { Known, formatQuestion } from './known.ts'
import type { Question } from './questions.ts'
import { Miss, createWorkingSet } from './working-set.ts'

/** No rule needs more reads than this. If one does, the database does not answer what it is asked. */
const mostReads = 20

const patient: Locks = {
  jobs: 'wait',
  keys: 'wait',
  limits: 'pass',
  flows: 'pass',
  facts: false,
  workers: false,
}

/**
 * Runs the engine's rules on a database that answers asynchronously. It reads what a call will ask for, runs the rules on that,
 * and writes their changes in one batch. If the rules ask for something else, that is read too, and the rules run again.
 * @example engineLog({ name: 'mine', logger, ...asyncHost(database), connect, … })
 */
export function asyncHost(database: AsyncDatabase): Pick<EngineHost, 'write' | 'read' | 'inside'> {
  return {
    write: (rules, call) => database.write((transaction) => runRules(transaction, rules, call, true)),
    read: (rules, call) => database.read((transaction) => runRules(transaction, rules, call, false)),
    inside: async (tx, rules, call) => runRules(await database.join(tx), rules, call, true),
  }
}

async function runRules<T>(
  transaction: AsyncTransaction,
  rules: Rules<T>,
  { asks = () => [], locks }: Call,
  writes: boolean,
): Promise<T> {
  const known = new Known()
  const { now } = transaction
  let questions: readonly Question[] = [['facts'], ...asks(now)]
  for (let reads = 0; reads < mostReads; reads += 1) {
    const asked = [...new Map(questions.map((question) => [formatQuestion(question), question])).values()]
    const answers = await transaction.read(asked, writes ? { ...patient, ...locks } : undefined)
    for (const [at, question] of asked.entries()) known.add(question, answers[at])
    const { store, changes } = createWorkingSet(known, now, (error) => transaction.isRefusedData(error))
    try {
      const result = rules(store, now)
      const made = changes()
      if (made) await transaction.write(made)
      return result
    } catch (error) {
      if (!(error instanceof Miss)) throw error
      questions = error.questions
    }
  }
  throw new ErrandError(
    'E_LOG',
    `the database did not answer ${JSON.stringify(questions[0]?.[0])} in ${mostReads} reads`,
  )
}
