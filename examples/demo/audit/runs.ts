import type { JobEvent } from 'errand'

/** One run of a job, as the history tells it. */
export interface Run {
  readonly run: number
  readonly worker: string
  readonly startedAt: number
  /** The event that ended it; undefined while it goes on. */
  readonly ended: JobEvent['type'] | undefined
  readonly endedAt: number | undefined
}

const endings: ReadonlySet<JobEvent['type']> = new Set([
  'succeeded',
  'errored',
  'snoozed',
  'released',
  'lost',
  'failed',
  'cancelled',
])

export function runsOf(history: readonly JobEvent[]): Run[] {
  const runs: Run[] = []
  for (const event of history) {
    const at = event.at.getTime()
    const open = runs.at(-1)
    if (event.type === 'started') {
      const { run, worker } = event
      runs.push({ run, worker, startedAt: at, ended: undefined, endedAt: undefined })
    } else if (open !== undefined && open.ended === undefined && endings.has(event.type)) {
      runs[runs.length - 1] = { ...open, ended: event.type, endedAt: at }
    }
  }
  return runs
}
