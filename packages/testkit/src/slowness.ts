import { availableParallelism, loadavg } from 'node:os'

/** Rounds of the piece of work, and the milliseconds that it takes on a quiet machine of 2024. */
const rounds = 400_000
const quietMs = 0.75
/**
 * The time limit of tests that wait on conditions, in milliseconds. It only ends tests that hang; a slow machine never
 * reaches it.
 */
export const hangsAfterMs = 600_000

/** The highest factor: with more, a wait could not tell a slow machine from a hang. */
const most = 30

/**
 * Turns a time limit for a quiet machine, in milliseconds, into one for this machine at this moment (`measureSlowness`).
 * @example await errand.result(receipt, { timeout: scaleLimit(20_000) })
 */
export function scaleLimit(ms: number): number {
  return Math.round(ms * measureSlowness())
}

/**
 * How many times slower this machine is now than a quiet one: from 1 to 30. Time limits of tests are multiplied by it, so
 * that a limit says how long the code may take, whatever else the machine does.
 *
 * It measures in two ways, because each misses something. A small piece of work shows a slow or throttled processor, but the
 * scheduler favours processes that mostly sleep, as tests do. The number of processes that want a processor shows how busy
 * the machine is, but Windows does not report it.
 */
function measureSlowness(): number {
  const waiting = (loadavg()[0] ?? 0) / availableParallelism()
  return Math.min(most, Math.max(1, timeWork() / quietMs) * Math.max(1, waiting))
}

/** The best of three, because a single interruption says nothing about the machine's speed. */
function timeWork(): number {
  return Math.min(workOnce(), workOnce(), workOnce())
}

function workOnce(): number {
  const since = performance.now()
  let state = 123_456_789
  for (let round = 0; round < rounds; round += 1) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
  }
  // The result uses the sum, so that no compiler removes the work.
  return performance.now() - since + (state === 0 ? 1 : 0)
}
