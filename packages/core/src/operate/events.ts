import { checkKey } from '../dispatch/keys.ts'
import { checkId } from '../ids.ts'
import { isFinal } from '../job/state.ts'
import type { StoredState } from '../job/state.ts'
import { checkQueueName } from '../names.ts'
import { checkOptions } from '../options.ts'
import type { JobLog, ReadOptions } from '../ports.ts'
import type { Listening } from './event-wakeups.ts'
import type { Connection, OperateDeps } from './connection.ts'
import { jobEvent } from './job-event.ts'
import type { JobEvent } from './job-event.ts'
import type { JobNews, JobWatch, Waiting } from './job-watch.ts'
import { knownJob } from './known-job.ts'

export interface FollowOptions {
  /** Only this job: from its first event to its end. */
  readonly job?: string | undefined
  readonly queue?: string | undefined
  readonly tag?: string | undefined
  /** The cursor of the last event that was seen, or `'start'` for the oldest event kept. Default: from now on. */
  readonly after?: string | undefined
  /** Ends the following, without an error. So does closing the instance. */
  readonly signal?: AbortSignal | undefined
}

/** What happened, as the log recorded it. */
export interface Events {
  /** The whole history of one job, in order; `[]` for an unknown one. */
  of(id: string): Promise<readonly JobEvent[]>
  /**
   * Events as they happen, from any process, each exactly once and in order. Keep `event.cursor` and pass it as `after`
   * to continue there, also after a restart. `{ job }` ends with the job's last event.
   *
   * @throws `E_CURSOR` for a malformed cursor, one from before the log was restored, or one older than the oldest event
   * kept; `E_NOT_FOUND` for an unknown job; `E_NAME` and `E_KEY` for an impossible queue or tag; `E_LOG_UNREACHABLE` when the log goes away: follow again from your cursor.
   * @example
   * for await (const event of errand.events.follow({ queue: 'media', after: saved })) {
   *   await save(event.cursor)
   * }
   */
  follow(options?: FollowOptions): AsyncIterable<JobEvent>
  /**
   * As `follow`, but only past events: it ends with the newest one. Default: from the oldest stored event.
   * @throws `E_CURSOR`, `E_NOT_FOUND`, `E_LOG_UNREACHABLE`
   */
  read(options?: FollowOptions): AsyncIterable<JobEvent>
}

/** Events in one page. */
const pageSize = 500
const known = ['job', 'queue', 'tag', 'after', 'signal']

export function createEvents(deps: OperateDeps): Events {
  return {
    async of(id) {
      const { log } = await deps.connected()
      const records = await log.readHistory(checkId(id))
      return Promise.all(records.map((record) => jobEvent(record, deps.codec)))
    },
    follow(options = {}) {
      checkOptions('follow()', options, known)
      checkFilter(options)
      return follow(deps, options)
    },
    read(options = {}) {
      checkOptions('read()', options, known)
      checkFilter(options)
      return read(deps, options)
    },
  }
}

async function* follow(deps: OperateDeps, options: FollowOptions): AsyncGenerator<JobEvent, void> {
  const stop = new AbortController()
  const job = options.job === undefined ? undefined : checkId(options.job)
  const signal = AbortSignal.any([
    stop.signal,
    deps.closing.signal,
    ...(options.signal ? [options.signal] : []),
  ])
  try {
    const connection = await deps.connected()
    const { log, watch } = connection
    // Listens before it reads, so that it misses nothing in between. A follower of one job is woken for this job alone.
    const listening = job === undefined ? startListening(connection, options, signal) : undefined
    let after = await findStart(log, job, options.after)
    let state: StoredState | undefined
    let version = 0
    let ended = false
    while (!signal.aborted) {
      const page = await log.read({ ...toFilter(options, job), after, limit: pageSize })
      for (const record of page.events) {
        if (signal.aborted) return
        ;({ state, version } = record)
        yield await jobEvent(record, deps.codec)
      }
      after = page.next
      if (page.events.length === pageSize) continue
      if (job === undefined) {
        await listening?.woken(deps.settings.followEveryMs)
        continue
      }
      // Caught up. A job that was replayed has more than one end in its history; only here it is known to be the last.
      if (state !== undefined && isFinal(state)) return
      if (ended) {
        // No event after the cursor shows the end: it is before the cursor or of another queue, or the job was replayed.
        ;({ state } = await knownJob(log, job))
        ended = false
        if (isFinal(state)) continue
      }
      const news = await waitForNews(watch, job, version, signal)
      if (news?.kind === 'moved') ({ version } = news)
      else ended = news !== undefined
    }
  } finally {
    stop.abort()
  }
}

/** Resolves with undefined when the signal aborts. */
function waitForNews(
  watch: JobWatch,
  job: string,
  past: number,
  signal: AbortSignal,
): Promise<JobNews | undefined> {
  return new Promise((resolve, reject) => {
    const over = (): void => {
      signal.removeEventListener('abort', abort)
      watch.remove(job, one)
    }
    const one: Waiting = {
      past,
      tell: (news) => {
        over()
        resolve(news)
      },
      fail: (error) => {
        over()
        reject(error)
      },
    }
    const abort = (): void => {
      over()
      resolve(undefined)
    }
    if (signal.aborted) return resolve(undefined)
    signal.addEventListener('abort', abort, { once: true })
    watch.add(job, one)
  })
}

async function* read(deps: OperateDeps, options: FollowOptions): AsyncGenerator<JobEvent, void> {
  const { signal } = options
  const job = options.job === undefined ? undefined : checkId(options.job)
  const { log } = await deps.connected()
  if (job !== undefined) await knownJob(log, job)
  let after = options.after === 'start' ? undefined : options.after
  for (;;) {
    const page = await log.read({ ...toFilter(options, job), after, limit: pageSize })
    for (const record of page.events) {
      if (signal?.aborted) return
      yield await jobEvent(record, deps.codec)
    }
    after = page.next
    if (page.events.length < pageSize) return
  }
}

function startListening(
  { wakeups, sharedReader }: Connection,
  { queue, tag }: FollowOptions,
  signal: AbortSignal,
): Listening {
  // Every event concerns a follower of all events.
  return queue === undefined && tag === undefined
    ? wakeups.listen(signal)
    : sharedReader.listen({ queue, tag }, signal)
}

async function findStart(
  log: JobLog,
  job: string | undefined,
  after: string | undefined,
): Promise<string | undefined> {
  if (after === 'start') return undefined
  if (after !== undefined) return after
  return job === undefined ? log.end() : undefined
}

/** Refuses a queue or tag that no event can have. @throws `E_NAME`, `E_KEY` */
function checkFilter({ queue, tag }: FollowOptions): void {
  if (queue !== undefined) checkQueueName(queue)
  if (tag !== undefined) checkKey('tag', tag)
}

function toFilter(options: FollowOptions, job: string | undefined): Omit<ReadOptions, 'limit' | 'after'> {
  return { job, queue: options.queue, tag: options.tag }
}
