import { isFinal } from '@errand/core/ports'
import type { EventRecord, StoredEventType } from '@errand/core/ports'
import type { JobHistory, Invariant, Violation } from './types.ts'

/** Events that only the worker that holds the claim can cause. */
const byHolder: readonly StoredEventType[] = ['progressed', 'succeeded', 'errored', 'snoozed', 'released']

/** I2, I3, I4 and I6: who ran the job, how often, and with which outcome. */
export function checkClaims({ id, events, onCrash }: JobHistory): Violation[] {
  const found: Violation[] = []
  const wrong = (invariant: Invariant, text: string): void => void found.push({ invariant, jobId: id, text })

  const runs = new Set<number>()
  let holder: EventRecord | undefined
  let ended: EventRecord | undefined
  let successes = 0
  let interrupted: EventRecord | undefined
  for (const event of events) {
    if (event.type === 'started') {
      const started = `run ${event.run} was started`
      if (runs.has(event.run)) wrong('I3', `${started} twice`)
      if (holder) wrong('I3', `${started} while run ${holder.run} held the claim`)
      if (event.worker === undefined) wrong('I3', `${started} by no worker`)
      if (ended) wrong('I4', `${started} after the job had ${ended.type}, and nobody had replayed it`)
      if (onCrash === 'fail' && interrupted) {
        wrong('I6', `${started} although run ${interrupted.run} was interrupted and onCrash is 'fail'`)
      }
      runs.add(event.run)
      holder = event
    } else if (event.type === 'succeeded') {
      successes += 1
      if (successes > 1) wrong('I2', `succeeded ${successes} times (run ${event.run})`)
    } else if (event.type === 'lost') {
      interrupted = event
    } else if (event.type === 'replayed') {
      ended = undefined
      interrupted = undefined
      successes = 0
    }

    const foreign = holder && (event.run !== holder.run || event.worker !== holder.worker)
    if (holder && foreign && byHolder.includes(event.type)) {
      const by = `run ${event.run} of worker ${event.worker ?? 'nobody'}`
      wrong(
        'I3',
        `${event.type} came from ${by}, but run ${holder.run} of ${holder.worker ?? 'nobody'} held the claim`,
      )
    }
    if (event.state !== 'running') holder = undefined
    if (isFinal(event.state) && event.type !== 'fenced' && event.type !== 'skipped') ended = event
  }
  return found
}
