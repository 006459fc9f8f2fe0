import type { JobDetails } from '@errand/core'
import type { Column } from '../../output/table.ts'
import { paintState } from '../../output/paint.ts'
import type { Paint } from '../../output/paint.ts'
import { placeText } from '../../output/text.ts'
import { relative } from '../../output/times.ts'

/** A job as one row of a table. */
export function jobColumns(paint: Paint, now: number): readonly Column<JobDetails>[] {
  return [
    { title: 'ID', value: (job) => job.id },
    { title: 'JOB', value: (job) => job.name, flexible: true },
    { title: 'QUEUE', value: (job) => job.queue, flexible: true },
    { title: 'LANE', value: (job) => job.lane },
    {
      title: 'STATE',
      value: (job) => job.state,
      paint: (text, job) => (text === job.state ? paintState(paint, text) : text),
    },
    { title: 'ATTEMPT', value: (job) => `${job.attempt}/${job.maxAttempts}`, align: 'right' },
    { title: 'DISPATCHED', value: (job) => relative(job.dispatchedAt.getTime(), now), align: 'right' },
    { title: '', value: (job) => note(job, now), paint: (text) => paint('faint', text), flexible: true },
  ]
}

/** One more fact that matters in the job's state. */
function note(job: JobDetails, now: number): string {
  const key = job.orderingKey === undefined ? undefined : `key ${job.orderingKey}`
  switch (job.state) {
    case 'scheduled':
      return [job.runAt && `due ${relative(job.runAt.getTime(), now)}`, job.error?.message]
        .filter(Boolean)
        .join(' · ')
    case 'running':
      if (job.cancelRequested) return 'to be cancelled'
      return job.progress
        ? [job.progress.value, job.progress.message].filter((each) => each !== undefined).join(' ')
        : ''
    case 'failed':
      return job.error?.message ?? ''
    case 'blocked':
      if (job.waitsForNeeds) return 'waits for what it needs'
      return job.limit?.waits ? `limit ${placeText(job.limit.name, job.limit.key)}` : (key ?? '')
    case 'suspended':
      return job.runAt ? `goes on ${relative(job.runAt.getTime(), now)} at the latest` : (key ?? '')
    case 'ready':
      return key ?? ''
    case 'succeeded':
    case 'cancelled':
      return job.finishedAt ? relative(job.finishedAt.getTime(), now) : ''
    case 'unknown':
      return 'a newer version of errand wrote this state'
    default:
      return job.state satisfies never
  }
}
