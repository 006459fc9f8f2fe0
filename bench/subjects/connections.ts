/** What all processes together may take of a server's usual 100 connections. */
const most = 60
/** More than a dispatcher has in flight is never of use. */
const wanted = 50

/**
 * Connections of a pool for so many calls at a time, as graphile-worker's and BullMQ's pages advise: one for each. Measured with
 * 10 and with 50, dispatches of graphile-worker, BullMQ and pg-boss were up to a third faster with 50.
 */
export function poolSize(processes: number, atATime: number = wanted): number {
  return Math.floor(Math.min(atATime, most) / processes)
}
