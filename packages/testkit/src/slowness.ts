import { availableParallelism, loadavg } from 'node:os'

/** Rounds of the piece of work, and the milliseconds that it takes on a quiet machine of 2024. */
const rounds = 400_000
const quietMs = 0.75
/**
 * The time limit of tests whose waits are conditions, in milliseconds: it only ends what hangs, and a slow machine never
 * reaches it.
 */
export const hangsAfterMs = 600_000

/** Beyond this a wait no longer tells a slow machine from a hang. */
const most = 30

/**
 * A time limit of a quiet machine, in milliseconds, as it is right on this one at this moment (`measureSlowness`).
 * @example await errand.result(receipt, { timeout: scaleLimit(20_000) })
 */
export function scaleLimit(ms: number): number {
  return Math.round(ms * measureSlowness())
}

/**
 * How many times as long as on a quiet machine things take here, at this moment: from 1 to 30. Time limits of tests are
 * multiplied by it, so that a limit says what the code may take, and not what a machine has to do besides.
 *
 * It is measured in two ways that miss different things. A small piece of work shows a slow or throttled processor; but
 * the scheduler favours processes that mostly sleep, as tests do. The number of processes that want a processor shows
 * what others have to share; Windows does not tell it.
 */
function measureSlowness(): number {
  const waiting = (loadavg()[0] ?? 0) / availableParallelism()
  return Math.min(most, Math.max(1, timeWork() / quietMs) * Math.max(1, waiting))
}

/** The best of three: what is asked for is the machine's speed, not a single interruption. */
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
  // The sum is used, so that no compiler leaves the work out.
  return performance.now() - since + (state === 0 ? 1 : 0)
}
