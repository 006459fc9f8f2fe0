import type { JobFilter, JobState } from '@errand/core/ports'
import { stateCode } from './codes.ts'
import type { Value } from './database.ts'
import { heldQueues, openLanes } from './live-index.ts'

/**
 * SQL of the sequences of one page of jobs, newest dispatch first, and of some more. Each state has an index with its jobs
 * in this order, so a page reads about as many rows as it has. Only succeeded jobs have none, because it would have an
 * entry for most jobs. A table names the ranges of sequences in which there are some, and all jobs of these are looked up.
 * @param after the id of the last job of the page before
 */
export function pageOf(
  schema: string,
  filter: JobFilter,
  after: string | undefined,
  limit: string,
  bind: (value: Value) => string,
): string {
  const name = filter.name === undefined ? undefined : bind(filter.name)
  const queue = filter.queue === undefined ? undefined : bind(filter.queue)
  const tag = filter.tag === undefined ? undefined : bind(filter.tag)
  const before = filter.before === undefined ? undefined : bind(filter.before)
  const last = after === undefined ? undefined : bind(after)
  /** For a row of `jobs` or `live`. */
  const matches = (row: string): string =>
    and(
      name === undefined ? '' : `${row}.name = ${name}`,
      queue === undefined ? '' : `${row}.queue = ${queue}`,
      tag === undefined ? '' : `${tag} = any (${row}.tags)`,
    )
  const inTime = before === undefined ? '' : `j.dispatched_at < to_timestamp(${before} / 1000.0)`
  const lastSeq = `(select a.seq from ${schema}.known a where a.id = ${last}::uuid)`
  const following = last === undefined ? '' : `x.seq < ${lastSeq}`
  const newest = (from: string, ...which: string[]): string =>
    `(select x.seq from ${from} where ${and(...which, following)} order by x.seq desc limit ${limit})`
  /** Looked up job by job: the offset prevents a join. */
  const itsJob = (which: string): string =>
    which === '' || which === 'true'
      ? ''
      : `exists (select from ${schema}.jobs j where j.seq = x.seq and ${which} offset 0)`
  const unfinished = (...which: string[]): string =>
    newest(`${schema}.live x`, ...which, matches('x'), itsJob(inTime))
  const some = (...which: string[]): string => newest(`${schema}.jobs x`, matches('x'), ...which)
  const early = inTime.replace('j.', 'x.')

  if (filter.state === undefined) return some(early)
  const code = stateCode[filter.state]
  const ofQueue = (row: string): string => (queue === undefined ? 'true' : `${row}.queue = ${queue}`)
  const held = (state: JobState): string =>
    `(with recursive ${heldQueues(schema, 'held', state)}
      select n.seq from held h cross join lateral ${unfinished(`x.held = ${code}`, 'x.queue = h.queue')} n
       where ${ofQueue('h')})`
  const ended = (): string =>
    newest(
      `${schema}.ended x`,
      `x.state = ${code}`,
      `x.state <> ${stateCode.succeeded}`,
      itsJob(and(matches('j'), inTime)),
    )
  /** Range by range, until the page is full. Each step finds the next range that differs, as in `live-index.ts`. */
  const succeeded = (): string => {
    const range = (which: string, found: string): string =>
      `select r.start, j.seqs, ${found} + cardinality(j.seqs)
         from (select r.start from ${schema}.succeeded_ranges r where ${which} order by r.start desc limit 1) r
        cross join lateral (select array(${newest(
          `${schema}.jobs x`,
          'x.seq >= r.start',
          `x.seq < ${schema}.range_end(r.start)`,
          matches('x'),
          early,
          `exists (select from ${schema}.ended e where e.id = any (array[x.id]) and e.state = ${code} offset 0)`,
        )}) as seqs offset 0) j`
    return `(with recursive walked (start, seqs, found) as (
        ${range(last === undefined ? 'true' : `r.start < ${lastSeq}`, '0')} union all
        select n.* from walked w cross join lateral (${range('r.start < w.start', 'w.found')}) n
         where w.found < ${limit})
      select unnest(w.seqs) as seq from walked w)`
  }
  const pages: Readonly<Record<JobState, () => string>> = {
    ready: () =>
      `(with recursive ${openLanes(schema)}
        select n.seq from open o
         cross join lateral ${unfinished('x.held is null', `x.state = ${code}`, 'x.queue = o.queue', 'x.lane = o.lane')} n
         where ${ofQueue('o')})`,
    // There are few grants.
    running: () =>
      newest(
        `(select l.* from (select distinct r.id from ${schema}.runs r) r
           cross join lateral (select * from ${schema}.live l where l.id = any (array[r.id]) offset 0) l) x`,
        matches('x'),
        itsJob(inTime),
      ),
    scheduled: () => held('scheduled'),
    blocked: () => held('blocked'),
    suspended: () => held('suspended'),
    // Those that hold a key have a row in `live`.
    failed: () => `${held('failed')} union all ${ended()}`,
    cancelled: ended,
    succeeded,
  }
  return pages[filter.state]()
}

function and(...conditions: readonly string[]): string {
  return conditions.filter((one) => one !== '' && one !== 'true').join(' and ') || 'true'
}
