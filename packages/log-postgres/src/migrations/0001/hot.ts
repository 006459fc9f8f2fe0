/**
 * Settings of every function that is called often. Plans are cached per connection, and one that was made while the
 * tables were empty would read them whole for the rest of the day: these functions reach every row through an index,
 * by construction, so other plans are ruled out, and one plan serves all calls: planning anew for each would be a fifth of
 * the time that a take of one job needs. The path keeps a caller's own operators and tables out.
 */
export const hot: string = `
set search_path to pg_catalog, pg_temp
set plan_cache_mode to force_generic_plan
set enable_seqscan to off
set enable_indexonlyscan to off
set enable_hashjoin to off
set enable_mergejoin to off
set jit to off`

/**
 * The row was not written by a transaction with a later number than this one's. Events are read in the order of those
 * numbers, so whoever writes the next event of a job must come later than the last: a transaction that has had its number
 * before its last look leaves such a row to the next one.
 */
export const isEarlier = (row: string): string => `age(${row}.xmin) >= 0`

/** For functions that cannot leave a row to the next transaction: all of it again, in a transaction with a later number. */
export const againIf = (condition: string): string => `
  if ${condition} then
    raise exception 'errand: a job was changed by a later transaction' using errcode = '40001';
  end if;`

/**
 * A job's state where its row is found by its id. Said so that no partial index of that state can be used: to a planner
 * that believes the table to be tiny, reading all running jobs for each id looks as cheap as looking the id up.
 */
export const stateIs = (row: string, code: number): string => `${row}.state + 0 = ${code}`

/**
 * `column = value`, where a row is found by what another row says and `column` is the first of an index: in a form that is
 * good for nothing but a look into that index. With a plain equality a planner that believes the table to be tiny walks the
 * whole index in order, and compares. Further columns of the index are to be said plainly, or they become filters.
 */
export const foundBy = (column: string, value: string): string => `${column} = any (array[${value}])`
