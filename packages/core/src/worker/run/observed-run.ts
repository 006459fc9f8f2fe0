import { trace } from '../../telemetry/channels.ts'
import type { RunOutcome } from '../../telemetry/contexts.ts'
import type { Attempt, Attempted } from './attempt.ts'
import { pickFailure } from './ending.ts'
import type { Decision } from './outcome.ts'

/** A run that is published on the channel `errand:run`. */
export function observedRun(run: Attempt, worker: string): Promise<Attempted> {
  return trace('run', { worker, claim: run.claim }, async (context) => {
    const attempted = await run.run()
    const { decision } = attempted
    context.outcome = runOutcome(decision)
    if ('failure' in decision) context.failure = pickFailure(decision)
    return attempted
  })
}

const outcomes: Readonly<Record<Exclude<Decision['kind'], 'error'>, RunOutcome>> = {
  succeed: 'succeeded',
  completed: 'succeeded',
  fail: 'failed',
  snooze: 'snoozed',
  suspend: 'suspended',
  cancel: 'cancelled',
  release: 'released',
}

function runOutcome(decision: Decision): RunOutcome {
  if (decision.kind !== 'error') return outcomes[decision.kind]
  return decision.retryInMs === undefined ? 'failed' : 'errored'
}
