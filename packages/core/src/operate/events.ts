import { checkKey } from '../dispatch/keys.ts'
import { checkId } from '../ids.ts'
import { isFinal } from '../job/state.ts'
import type { StoredState } from '../job/state.ts'
import { checkQueueName } from '../names.ts'
import { checkOptions } from '../options.ts'
import type { ReadOptions } from '../ports.ts'
import type { OperateDeps } from './connection.ts'
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
      const log = await deps.connectedLog()
      const records = await log.readHistory(checkId(id))
      return Promise.all(records.map(async (record) => jobEvent(record, deps.codec)))
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

function follow(deps: OperateDeps, options: FollowOptions): AsyncIterable<JobEvent> {
  return options.job === undefined
    ? followMany(deps, options)
    : followJob(deps, options, checkId(options.job))
}

/** Aborts when following ends: by the caller's signal, with the instance, or because nobody goes on. */
class End extends AbortController implements Disposable {
  readonly any: AbortSignal

  constructor(deps: OperateDeps, { signal }: FollowOptions) {
    super()
    this.any = AbortSignal.any([this.signal, deps.closing.signal, ...(signal ? [signal] : [])])
  }

  [Symbol.dispose](): void {
    this.abort()
  }
}

async function* followMany(deps: OperateDeps, options: FollowOptions): AsyncGenerator<JobEvent, void> {
  using end = new End(deps, options)
  const { queue, tag, after: given } = options
  const { log, feed } = await deps.connected()
  const after = given ?? (await log.end())
  const follower = feed.follow({ queue, tag }, after === 'start' ? undefined : after, end.any)
  for (let events; (events = await follower.next());) {
    for (const event of events) {
      if (end.any.aborted) return
      yield event.decode(deps.codec)
    }
  }
}

/** A follower of one job is woken for this job alone, and reads for itself. */
async function* followJob(
  deps: OperateDeps,
  options: FollowOptions,
  job: string,
): AsyncGenerator<JobEvent, void> {
  using end = new End(deps, options)
  const { log, watch } = await deps.connected()
  let after = options.after === 'start' ? undefined : options.after
  let state: StoredState | undefined
  let version = 0
  let ended = false
  while (!end.any.aborted) {
    const page = await log.read({ ...toFilter(options, job), after, limit: pageSize })
    for (const record of page.events) {
      if (end.any.aborted) return
      ;({ state, version } = record)
      yield jobEvent(record, deps.codec)
    }
    after = page.next
    if (page.events.length === pageSize) continue
    // Caught up. A job that was replayed has more than one end in its history; only here it is known to be the last.
    if (state !== undefined && isFinal(state)) return
    if (ended) {
      // No event after the cursor shows the end: it is before the cursor or of another queue, or the job was replayed.
      ;({ state } = await knownJob(log, job))
      ended = false
      if (isFinal(state)) continue
    }
    const news = await waitForNews(watch, job, version, end.any)
    if (news?.kind === 'moved') ({ version } = news)
    else ended = news !== undefined
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
  const log = await deps.connectedLog()
  if (job !== undefined) await knownJob(log, job)
  let after = options.after === 'start' ? undefined : options.after
  for (;;) {
    const page = await log.read({ ...toFilter(options, job), after, limit: pageSize })
    for (const record of page.events) {
      if (signal?.aborted) return
      yield jobEvent(record, deps.codec)
    }
    after = page.next
    if (page.events.length < pageSize) return
  }
}

/** Refuses a queue or tag that no event can have. @throws `E_NAME`, `E_KEY` */
function checkFilter({ queue, tag }: FollowOptions): void {
  if (queue !== undefined) checkQueueName(queue)
  if (tag !== undefined) checkKey('tag', tag)
}

function toFilter(options: FollowOptions, job: string | undefined): Omit<ReadOptions, 'limit' | 'after'> {
  return { job, queue: options.queue, tag: options.tag }
}
