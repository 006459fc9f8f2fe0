import { durationMs } from '../duration.ts'
import { ErrandError } from '../errors.ts'
import { checkId } from '../ids.ts'
import type { FlowCounts } from '../job/flow.ts'
import { checkOptions } from '../options.ts'
import { unlessAborted } from '../unless-aborted.ts'
import type { OperateDeps } from './connection.ts'
import type { FlowInfo } from './flow-info.ts'
import { followFlow } from './flow-watch.ts'
import type { ResultOptions } from './result.ts'

/** Waits for the end of a flow. See `Errand.result`. */
export async function waitForFlow(
  deps: OperateDeps,
  id: string,
  options: ResultOptions = {},
): Promise<FlowCounts> {
  checkOptions('result()', options, ['timeout', 'signal'])
  const { timeout, signal } = options
  const flow = checkId(id)
  const timeoutMs = timeout === undefined ? undefined : durationMs(timeout, 'timeout')
  signal?.throwIfAborted()
  const over = new AbortController()
  const stop =
    timeoutMs === undefined
      ? undefined
      : deps.clock.after(timeoutMs, () =>
          over.abort(
            new ErrandError('E_RESULT_TIMEOUT', `flow ${flow} has not ended after ${timeoutMs} ms`, {
              ids: [flow],
            }),
          ),
        )
  const ends = AbortSignal.any([over.signal, ...(signal ? [signal] : [])])
  const any = AbortSignal.any([ends, deps.closing.signal])
  const giveUp = (): never => {
    if (ends.aborted) throw ends.reason
    throw new ErrandError('E_CLOSED', 'the instance was closed; the flow goes on')
  }
  try {
    const last = await unlessAborted(untilEnded(deps, flow, any), any, giveUp)
    return last && last.state !== 'running' ? toCounts(last) : giveUp()
  } finally {
    over.abort()
    stop?.()
  }
}

/** The flow as it was last seen: it has ended, unless the signal aborted. */
async function untilEnded(deps: OperateDeps, id: string, signal: AbortSignal): Promise<FlowInfo | undefined> {
  let last: FlowInfo | undefined
  for await (const now of followFlow(deps, id, signal)) last = now
  return last
}

function toCounts({ id, name, state, total, succeeded, failed, cancelled, forgiven }: FlowInfo): FlowCounts {
  if (state === 'succeeded') return { total, succeeded, failed, cancelled, forgiven }
  const what = name === undefined ? `flow ${id}` : `flow "${name}" (${id})`
  throw new ErrandError(
    'E_RESULT_FAILED',
    `${what} ${state === 'cancelled' ? 'was cancelled' : 'failed'}: of ${total} members ${succeeded} succeeded, ${failed} failed and ${cancelled} were cancelled`,
    { ids: [id] },
  )
}
