import { ErrandError } from '../errors.ts'
import { isFinal } from '../job/state.ts'
import type { Logger } from '../logging.ts'
import type { Encoded } from '../ports/codec.ts'
import { calls } from './calls.ts'
import type { Call } from './calls.ts'
import { DamagedRow } from './damaged-row.ts'
import { afterEnds } from './ends.ts'
import { move } from './moves.ts'
import type { JobStore } from './store.ts'

/** At most this many rows may be set aside in one call. If there are more, the rows are not the cause. */
const mostInOneCall = 1_000
const longestReason = 1_000

interface Transactions {
  write<T>(rules: (store: JobStore, now: number) => T, call: Call): Promise<T>
  readonly logger: Logger
}

/** Calls `run`. For each row that it cannot work with, sets the row aside and calls it again, so that its neighbours go on. */
export async function despiteDamage<T>(on: Transactions, run: () => Promise<T>): Promise<T> {
  for (let rows = 0; ; rows += 1) {
    try {
      return await run()
    } catch (error) {
      if (!(error instanceof DamagedRow)) throw error
      if (rows === mostInOneCall) throw damageError(error)
      await aside(on, error, [])
    }
  }
}

/** @param before rows that are being set aside; this row is a successor of one of them */
async function aside(on: Transactions, damage: DamagedRow, before: readonly string[]): Promise<void> {
  if (before.includes(damage.id)) throw damageError(damage)
  const { id, message: reason } = damage
  const act = (): Promise<string | undefined> =>
    on.write((store, now) => setAside(store, now, id, reason.slice(0, longestReason)), calls.setAside(id))
  let name: string | undefined
  try {
    name = await act()
  } catch (error) {
    if (!(error instanceof DamagedRow)) throw error
    await aside(on, error, [...before, id])
    name = await act()
  }
  if (name === undefined) return
  on.logger.error(
    { job: id, jobName: name, reason },
    'the row of a job in the log cannot be worked with: the job was failed',
  )
}

/** Fails the job, whatever its row holds, unless it had ended. Returns its name if it failed the job. */
function setAside(store: JobStore, now: number, id: string, why: string): string | undefined {
  const row = store.mend(id)
  if (!row || isFinal(row.state)) return undefined
  const { worker } = row
  row.crashes = 0
  row.streak = 0
  row.parkedSince = undefined
  move(store, now, row, 'failed', 'failed', { worker, data: { cause: 'error' }, body: encodeReason(why) })
  afterEnds(store, now, [row], now)
  return row.name
}

/** The log writes this error itself, so it is plain JSON for every codec of the workers. */
function encodeReason(why: string): Encoded {
  const message = `its row in the job log cannot be worked with: ${why}`
  return { codec: 'json', text: JSON.stringify({ name: 'ErrandError', message }) }
}

/** For calls that can set nothing aside: in a caller's transaction, or not for this row. */
export function damageError(damage: DamagedRow): ErrandError {
  return new ErrandError(
    'E_LOG',
    `the row of job ${damage.id} in the log cannot be worked with: ${damage.message}`,
    { cause: damage },
  )
}
