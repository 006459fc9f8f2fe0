import { ErrandError } from '@errand/core/ports'
import type { Debounce, Debounced, Encoded, Transaction } from '@errand/core/ports'
import type { Database } from './database.ts'
import { insideError } from './failures.ts'
import { isStorable, isUuid } from './literals.ts'
import { lane } from './rows.ts'
import { recognizeTransaction } from './transaction.ts'

/** How long it waits for the row of a job that somebody has locked. */
const rowWait = '3s'

/** `debounce` of the port. */
export async function debounce(
  database: Database,
  logId: string,
  id: string,
  { codec, text }: Encoded,
  { waitMs, atMostMs }: Debounce,
  tx: Transaction | undefined,
): Promise<Debounced> {
  if (!isUuid(id)) return { status: 'started' }
  if (!isStorable(text))
    throw new ErrandError('E_PAYLOAD_NOT_SERIALIZABLE', 'the payload holds a NUL or half of a surrogate pair')
  const call = `select coalesce(${database.rule('debounce')}($1::uuid, $2, $3, $4::bigint, $5::bigint, $6), '') as answer`
  const values = [id, codec, text, String(waitMs), String(atMostMs)]
  const answer = tx ? await inside(database, tx, call, values) : await own(database, call, values)
  if (answer === '') return { status: 'started' }
  const [isNew, rank = null, queue = ''] = answer.split(' ')
  return {
    status: 'replaced',
    ticket: isNew === 'true' ? { id, queue, lane: lane(rank), log: logId } : undefined,
  }
}

async function own(database: Database, call: string, values: readonly string[]): Promise<string> {
  const [row] = await database.query('errand_debounce', call, [...values, rowWait], {
    repeatable: false,
  })
  return row?.[0] ?? ''
}

/** Here the caller's own setting says how long to wait. */
async function inside(
  database: Database,
  tx: Transaction,
  call: string,
  values: readonly string[],
): Promise<string> {
  try {
    return await recognizeTransaction(tx)(call, [...values, null])
  } catch (error) {
    throw insideError(error, database.place)
  }
}
