import type { Pool } from 'pg'

/** Arguments by their names in the log's schema. */
export type Arguments = Readonly<Record<string, string | number | boolean | null>>
export type LogFunction = (values: Arguments) => Promise<readonly Record<string, string | null>[]>

/**
 * A function of the log's schema, called by the names of its arguments. Arguments that are not given are null, as the log
 * passes them if a job does not use them. So the bench need not change for a new argument or another order.
 */
export async function logFunction(pool: Pool, schema: string, name: string): Promise<LogFunction> {
  // Its name has the version of the log's rules.
  const { rows } = await pool.query<{ called: string; names: string[] }>(
    `select proname as called, proargnames[1:pronargs] as names from pg_proc
      where regexp_replace(proname, '_v[0-9]+$', '') = $1 and pronamespace = $2::regnamespace`,
    [name, schema],
  )
  const [{ called, names } = {}] = rows
  if (!called || !names) throw new Error(`the log has no function ${name} any more`)
  const text = `select * from ${schema}.${called}(${names.map((_, at) => `$${at + 1}`).join(', ')})`
  return async (given) => {
    const unknown = Object.keys(given).filter((each) => !names.includes(each))
    if (unknown.length > 0) throw new Error(`${name} has no argument ${unknown.join(', ')} any more`)
    const answer = await pool.query<Record<string, string | null>>({
      name,
      text,
      values: names.map((each) => given[each] ?? null),
    })
    return answer.rows
  }
}
