import type { Logger } from '@errand/core/ports'
import type { Database, Row, Value } from './database.ts'
import { isRefusedData } from './failures.ts'
import { arrayLiteral } from './literals.ts'

/**
 * Runs `ask`. If the data of a row is refused, fails the jobs with unusable rows and asks again, so the others go on.
 */
export async function despiteData(
  database: Database,
  logger: Logger,
  call: { readonly name: string; readonly parameters: readonly Value[] },
  ask: () => Promise<readonly Row[]>,
): Promise<readonly Row[]> {
  try {
    return await ask()
  } catch (error) {
    if (!isRefusedData(error)) throw error
    await setAside(database, logger, call)
    return ask()
  }
}

/** Fails the jobs that the function finds. Returns how many. */
async function setAside(
  database: Database,
  logger: Logger,
  { name, parameters }: { readonly name: string; readonly parameters: readonly Value[] },
): Promise<number> {
  const marks = parameters.map((_, index) => `$${index + 1}`).join(', ')
  const text = `select job_id, job_name, why from ${database.rule(name)}(${marks})`
  const rows = await database.query(`errand_${name}`, text, parameters)
  for (const row of rows) noteAside(logger, row)
  return rows.length
}

/** Jobs that wait behind these for their ordering key and cannot be given it. */
export function setAsideHeirs(database: Database, logger: Logger, ids: readonly string[]): Promise<number> {
  return setAside(database, logger, { name: 'set_aside_heirs', parameters: [arrayLiteral(ids)] })
}

/** @param row the id, the name, and why */
export function noteAside(logger: Logger, [job, jobName, reason]: Row): void {
  logger.error(
    { job, jobName, reason },
    'the row of a job in the log cannot be worked with: the job was failed',
  )
}
