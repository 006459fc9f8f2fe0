import { batcher } from '../batching.ts'
import type { Batcher } from '../batching.ts'
import type { Settings } from '../config/defaults.ts'
import type { NewJob } from '../job/job.ts'
import type { Clock } from '../ports/clock.ts'
import type { Appended } from '../ports/job-log.ts'
import { backoffMs } from '../supervise.ts'

/** How long a dispatch waits for a key that another transaction holds, and how often it asks again. */
const longestMs = 3_000
const lookMinMs = 25
const lookMaxMs = 200

/**
 * Stores jobs with an ordering or unique key. Another open transaction may hold a key. Jobs with this key then wait, in
 * their order, and all others go on.
 * @param append answers `locked` at once for a job that would have to wait
 */
export function keyedLine(
  append: (jobs: readonly NewJob[]) => Promise<readonly Appended[]>,
  clock: Clock,
  settings: Pick<Settings, 'batchItems' | 'batchBytes'>,
): Batcher<NewJob, Appended> {
  /** The last job that waits, by key: the next one of that key waits behind it. */
  const tails = new Map<string, Promise<unknown>>()
  const sizes = {
    maxItems: settings.batchItems,
    maxWeight: settings.batchBytes,
    weigh: (job: NewJob) => job.payload.text.length,
  }
  // One call for all jobs that wait: they need one connection, however many keys are held.
  const looks = batcher<NewJob, Appended>({ run: append, ...sizes })

  async function untilFree(job: NewJob, before: readonly Promise<unknown>[]): Promise<Appended> {
    const endsMs = clock.monotonicMs() + longestMs
    await Promise.all(before)
    for (let looksMade = before.length > 0 ? 0 : 1; ; looksMade += 1) {
      if (looksMade > 0) await clock.sleep(backoffMs(looksMade, lookMinMs, lookMaxMs))
      const answer = await looks.add(job)
      if (answer.status !== 'locked') return answer
      if (clock.monotonicMs() >= endsMs) {
        const why = 'another transaction holds its ordering key, its unique key or its id; dispatch it again'
        return { id: job.id, status: 'refused', why }
      }
    }
  }

  function wait(job: NewJob): Promise<Appended> {
    const keys = listKeys(job)
    const before = keys.flatMap((key) => tails.get(key) ?? [])
    const answer = untilFree(job, before)
    const leave = (): void => {
      for (const key of keys) if (tails.get(key) === tail) tails.delete(key)
    }
    const tail: Promise<void> = answer.then(leave, leave)
    for (const key of keys) tails.set(key, tail)
    return answer
  }

  const isBehind = (job: NewJob): boolean => tails.size > 0 && listKeys(job).some((key) => tails.has(key))

  return batcher<NewJob, Appended>({
    ...sizes,
    async run(jobs) {
      const free = jobs.filter((job) => !isBehind(job))
      const answers = free.length === 0 ? [] : await append(free)
      const byJob = new Map(free.map((job, index) => [job, answers[index]]))
      return jobs.map((job) => {
        const answer = byJob.get(job)
        return answer === undefined || answer.status === 'locked' ? wait(job) : answer
      })
    },
  })
}

function listKeys({ name, queue, ordering, unique }: NewJob): string[] {
  return [
    ...(ordering ? [`ordering ${queue} ${ordering.key}`] : []),
    ...(unique ? [`unique ${name} ${unique.key}`] : []),
  ]
}
