import type { JobLog, LogFactory } from '@errand/core/ports'

/**
 * Where a process dies, by `ERRAND_FAILPOINT`: with a claim before it is used; with an outcome that is not recorded; with
 * one that is recorded; with a job that is stored and not published.
 */
type Failpoint = 'claimed' | 'settling' | 'settled' | 'appended'

/** A wrapper around the port, so that nothing of this is in the product. */
export function withFailpoint(factory: LogFactory, at: string | undefined): LogFactory {
  return at === undefined
    ? factory
    : { ...factory, open: (context) => dying(factory.open(context), at as Failpoint) }
}

function dying(log: JobLog, at: Failpoint): JobLog {
  return {
    ...log,
    async claim(...args) {
      const verdicts = await log.claim(...args)
      if (at === 'claimed' && verdicts.some(({ verdict }) => verdict === 'run')) die()
      return verdicts
    },
    async take(...args) {
      const claims = await log.take(...args)
      if (at === 'claimed' && claims.length > 0) die()
      return claims
    },
    async settle(...args) {
      if (at === 'settling') die()
      const settled = await log.settle(...args)
      if (at === 'settled') die()
      return settled
    },
    async append(...args) {
      const appended = await log.append(...args)
      if (at === 'appended') die()
      return appended
    },
  }
}

/** Dies like in a power loss: it prints and closes nothing. */
function die(): never {
  process.kill(process.pid, 'SIGKILL')
  throw new Error('unreachable')
}
