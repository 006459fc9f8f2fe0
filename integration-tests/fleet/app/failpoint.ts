import type { JobLog, LogFactory } from '@errand/core/ports'

/**
 * Where a process dies, by `ERRAND_FAILPOINT`: with a claim before it is used; with an outcome that is not recorded; with
 * one that is recorded; with a job that is not stored; with one that is stored and not published; with a step that has acted
 * and is not recorded; before and after the tick of a schedule that has a job.
 */
type Failpoint =
  | 'claimed'
  | 'settling'
  | 'settled'
  | 'appending'
  | 'appended'
  | 'remembering'
  | 'ticking'
  | 'ticked'

/**
 * A wrapper around the port, so that nothing of this is in the product.
 * @param isArmed until then it lives on: a process that has not said that it is ready was not started
 */
export function withFailpoint(
  factory: LogFactory,
  at: string | undefined,
  isArmed: () => boolean = () => true,
): LogFactory {
  return at === undefined
    ? factory
    : { ...factory, open: (context) => dying(factory.open(context), at as Failpoint, isArmed) }
}

function dying(log: JobLog, at: Failpoint, isArmed: () => boolean): JobLog {
  const dieAt = (here: Failpoint): void => {
    if (here === at && isArmed()) die()
  }
  return {
    ...log,
    async claim(...args) {
      const verdicts = await log.claim(...args)
      if (verdicts.some(({ verdict }) => verdict === 'run')) dieAt('claimed')
      return verdicts
    },
    async take(...args) {
      const claims = await log.take(...args)
      if (claims.length > 0) dieAt('claimed')
      return claims
    },
    async settle(...args) {
      dieAt('settling')
      const settled = await log.settle(...args)
      dieAt('settled')
      return settled
    },
    async remember(...args) {
      dieAt('remembering')
      return log.remember(...args)
    },
    async append(...args) {
      dieAt('appending')
      const appended = await log.append(...args)
      dieAt('appended')
      return appended
    },
    async saveSchedules(changes, tx) {
      const isTick = changes.some(({ job }) => job !== undefined)
      if (isTick) dieAt('ticking')
      const saved = await log.saveSchedules(changes, tx)
      if (isTick && saved.some(({ appended }) => appended?.status === 'added')) dieAt('ticked')
      return saved
    },
  }
}

/** Dies like in a power loss: it prints and closes nothing. */
function die(): never {
  process.kill(process.pid, 'SIGKILL')
  throw new Error('unreachable')
}
