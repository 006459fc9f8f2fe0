import type { JobState } from '@errand/core/ports'
import { stateCode } from './codes.ts'

/*
 * Members of a `with recursive` that walk from one entry of an index to the next that differs, so that a long queue costs
 * no more than a short one. `distinct` would read every job.
 */

/** SQL of `open (queue, lane)`: a row for each queue and lane with jobs that are ready or run. */
export function openLanes(schema: string): string {
  const next = (which: string): string =>
    `(select l.queue, l.lane from ${schema}.live l where l.held is null and ${which} order by l.queue, l.lane limit 1)`
  return `open (queue, lane) as (
    ${next('true')} union all
    select n.* from open o cross join lateral ${next('(l.queue, l.lane) > (o.queue, o.lane)')} n)`
}

/** SQL of a table with this name and one column `queue`: the queues with jobs in this state. */
export function heldQueues(schema: string, name: string, state: JobState): string {
  const next = (which: string): string =>
    `(select l.queue from ${schema}.live l where l.held = ${stateCode[state]} and ${which} order by l.queue limit 1)`
  return `${name} (queue) as (
    ${next('true')} union all
    select n.* from ${name} h cross join lateral ${next('l.queue > h.queue')} n)`
}

/** SQL of the ready jobs of a queue, at most so many, as rows to count. The order is that of the index, so that it is used. */
export function someReady(schema: string, queue: string, most: string): string {
  return `(select from ${schema}.live l where l.held is null and l.state = ${stateCode.ready} and l.queue = ${queue}
            order by l.lane, l.seq limit ${most})`
}
