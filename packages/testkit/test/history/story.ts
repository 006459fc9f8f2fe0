import type { EventRecord, EventType, JobState } from '@errand/core/ports'

type Step = readonly [type: EventType, state: JobState, at: number, change?: Partial<EventRecord>]

/** A job's events from the little that differs: counters follow the types, versions count up. */
export function story(
  jobId: string,
  steps: readonly Step[],
  common: Partial<EventRecord> = {},
): EventRecord[] {
  let run = 0
  let attempt = 0
  let worker: string | undefined
  return steps.map(([type, state, at, change], index) => {
    if (type === 'started') {
      run += 1
      attempt += 1
      worker = change?.worker ?? 'worker-1'
    }
    if (type === 'snoozed' || type === 'released' || type === 'lost') attempt -= 1
    if (type === 'replayed') attempt = 0
    return {
      cursor: `${jobId}.${index}`,
      jobId,
      version: index + 1,
      type,
      state,
      name: 'a.job',
      queue: 'q',
      tags: [],
      at,
      run,
      attempt,
      worker: type === 'started' || state !== 'running' || type === 'errored' ? worker : undefined,
      data: type === 'released' ? { why: 'shutdown' } : {},
      body: undefined,
      ...common,
      ...change,
    }
  })
}

/** The usual life: dispatched, run once, done. */
export function succeeded(jobId: string, from = 0, common: Partial<EventRecord> = {}): EventRecord[] {
  return story(
    jobId,
    [
      ['dispatched', 'ready', from],
      ['started', 'running', from + 10],
      ['succeeded', 'succeeded', from + 20],
    ],
    common,
  )
}
