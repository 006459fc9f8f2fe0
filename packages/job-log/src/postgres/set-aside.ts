import type { Logger } from '@errand/core/ports'
import type { Database, Row, Value } from './database.ts'
import { isRefusedData } from './failures.ts'

/**
 * Asks; where the data of some row is refused, fails the jobs whose rows cannot be worked with, and asks again: their
 * neighbours go on.
 * @param call of the schema's function that finds them
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
    const { name, parameters } = call
    const marks = parameters.map((_, index) => `$${index + 1}`).join(', ')
    const text = `select job_id, job_name, why from ${database.schema}.${name}(${marks})`
    for (const row of await database.query(`errand_${name}`, text, parameters)) noteAside(logger, row)
    return ask()
  }
}

/** @param row the id, the name, and why */
export function noteAside(logger: Logger, [job, jobName, reason]: Row): void {
  logger.error(
    { job, jobName, reason },
    'the row of a job in the log cannot be worked with: the job was failed',
  )
}
