import { trace } from '../../telemetry/channels.ts'
import type { RunOutcome } from '../../telemetry/contexts.ts'
import type { Attempt, Attempted } from './attempt.ts'
import { failureOf } from './ending.ts'
import type { Decision } from './outcome.ts'

/** A run, told to those who observe `errand:run`. */
export function observedRun(run: Attempt, worker: string): Promise<Attempted> {
  return trace('run', { worker, claim: run.claim }, async (context) => {
    const attempted = await run.run()
    const { decision } = attempted
    context.outcome = runOutcome(decision)
    if ('failure' in decision) context.failure = failureOf(decision)
    return attempted
  })
}

function runOutcome(decision: Decision): RunOutcome {
  switch (decision.kind) {
    case 'succeed':
    case 'completed':
      return 'succeeded'
    case 'error':
      return decision.retryInMs === undefined ? 'failed' : 'errored'
    case 'fail':
      return 'failed'
    case 'snooze':
      return 'snoozed'
    case 'cancel':
      return 'cancelled'
    case 'release':
      return 'released'
  }
}
