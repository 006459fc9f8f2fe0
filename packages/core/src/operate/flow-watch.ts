import { ErrandError } from '../errors.ts'
import type { FlowRecord } from '../ports/flows.ts'
import type { OperateDeps } from './connection.ts'
import { flowInfo } from './flow-info.ts'
import type { FlowInfo } from './flow-info.ts'

/** The pause after a look, as a multiple of the look's own time: one who waits must not keep the log busy. */
const rest = 4

/**
 * The flow as it is now, and again whenever it has changed, until it has ended or the signal aborts.
 * @throws `E_NOT_FOUND`, `E_LOG_UNREACHABLE`
 */
export async function* followFlow(
  deps: OperateDeps,
  id: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<FlowInfo, void> {
  const { log, wakeups } = await deps.connected()
  const { clock, settings } = deps
  const stop = new AbortController()
  const any = AbortSignal.any([stop.signal, deps.closing.signal, ...(signal ? [signal] : [])])
  const listening = wakeups.listen(any)
  try {
    for (let last: FlowRecord | undefined; !any.aborted;) {
      const sinceMs = clock.monotonicMs()
      const record = await log.readFlow(id)
      if (!record)
        throw new ErrandError(
          'E_NOT_FOUND',
          `there is no flow ${id} in this log (was its transaction committed?)`,
        )
      if (!last || hasMoved(last, record)) yield flowInfo(record)
      last = record
      if (record.state !== 'running' || any.aborted) return
      const restMs = Math.min(settings.followEveryMs, (clock.monotonicMs() - sinceMs) * rest)
      if (restMs > 0) await clock.sleep(restMs, any)
      await listening.woken(settings.followEveryMs)
    }
  } finally {
    stop.abort()
  }
}

function hasMoved(a: FlowRecord, b: FlowRecord): boolean {
  return (
    a.state !== b.state ||
    a.total !== b.total ||
    a.succeeded !== b.succeeded ||
    a.failed !== b.failed ||
    a.cancelled !== b.cancelled ||
    a.cancel?.by !== b.cancel?.by
  )
}
