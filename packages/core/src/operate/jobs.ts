import { durationMs } from '../duration.ts'
import type { MessageDefinition } from '../define/message.ts'
import type { Duration } from '../duration.ts'
import { ErrandError } from '../errors.ts'
import { checkId } from '../ids.ts'
import { finalStates } from '../job/state.ts'
import type { JobState } from '../job/state.ts'
import type { Ticket } from '../job/ticket.ts'
import { checkFlag, checkInteger, checkOptions } from '../options.ts'
import type { JobLog } from '../ports/job-log.ts'
import { removeForgotten } from '../schedule/forgotten.ts'
import type { OperateDeps } from './connection.ts'
import { filterNames, jobFilter, pages, readIds, toNote } from './filter.ts'
import type { Filter } from './filter.ts'
import { jobDetails } from './job-details.ts'
import { readJobMemory } from './job-memory.ts'
import type { JobMemory } from './job-memory.ts'
import type { JobDetails } from './job-details.ts'
import { toChange } from './job-edit.ts'
import type { JobEdit } from './job-edit.ts'
import { knownJob } from './known-job.ts'
import { listing, mostListed } from './listing.ts'
import type { Listing } from './listing.ts'
import { needInfo } from './need-info.ts'
import type { NeedInfo } from './need-info.ts'
import { notifyWorkers } from './notify-workers.ts'
import { publishTickets } from './publish-tickets.ts'
import { sendMessage } from './send.ts'
import type { SendOptions, SendReceipt } from './send.ts'

/** Who does it, and why. The job's history records both. */
export interface By {
  readonly by: string
  readonly reason?: string | undefined
}

/** For acts on many jobs, which run in batches. */
export interface Batched {
  /** Called after each batch, with how many jobs were done in it. */
  readonly onProgress?: ((count: number) => void) | undefined
}

/** An ordering key whose holder has failed, so that the jobs behind it wait. */
export interface BlockedKey {
  readonly queue: string
  readonly key: string
  /** The id of the failed job: replay or skip it. */
  readonly holder: string
  /** How many jobs wait behind it; counted up to 10,000. */
  readonly waiting: number
}

/** `await` gives an array, as with other lists; `for await` reads it page by page. */
export interface JobList extends Listing<JobDetails> {}

/** The nouns and verbs of the command line: `errand jobs cancel` is `errand.jobs.cancel`. */
export interface Jobs {
  /** The job, or undefined. @throws `E_ID` */
  get(id: string): Promise<JobDetails | undefined>
  /** What the job remembers of its steps, what it waits for, and the messages that it has not received. @throws `E_ID`, `E_NOT_FOUND` */
  memory(id: string): Promise<JobMemory>
  /**
   * Sends a message to a job, for its `ctx.receive`. If the job does not wait for it yet, it is kept until then.
   * @throws `E_MESSAGE` if the job has ended, is not there, or has 1,000 messages that it has not read; `E_PAYLOAD_INVALID`,
   * `E_PAYLOAD_NOT_SERIALIZABLE`, `E_PAYLOAD_TOO_LARGE`, `E_ID`, `E_OPTION`, `E_TRANSACTION`
   * @example await errand.jobs.send(receipt.id, approved, { by: 'ada' }, { id: webhook.id, tx })
   */
  send<In>(
    id: string,
    message: MessageDefinition<In, unknown>,
    ...args: [In] extends [void]
      ? [payload?: undefined, options?: SendOptions]
      : [payload: NoInfer<In>, options?: SendOptions]
  ): Promise<SendReceipt>
  /**
   * Jobs, newest dispatch first. `after` is the id of the last one seen. Iterate over any number, or await an array.
   * Without a `limit` an array of more than 10,000 is refused.
   * @throws `E_OPTION` @example const failed = await errand.jobs.list({ state: 'failed', limit: 20 })
   */
  list(
    filter?: Filter & { readonly limit?: number | undefined; readonly after?: string | undefined },
  ): JobList
  /** What the job needs, in the order of its dispatch; `[]` for one that needs nothing, or an unknown one. @throws `E_ID` */
  needs(id: string): Promise<readonly NeedInfo[]>
  /** The ids of jobs that need this job or flow and have not ended. Default `limit`: 200. @throws `E_ID`, `E_OPTION` */
  neededBy(id: string, options?: { readonly limit?: number | undefined }): Promise<readonly string[]>
  /**
   * Cancels waiting jobs at once, and asks running ones to end: their `ctx.signal` aborts. Resolves with
   * how many there were. Ended jobs are not changed.
   * @throws `E_OPTION` for an empty filter, or without `by`. @example await errand.jobs.cancel({ tag: 'import-7' }, { by: 'mia' })
   */
  cancel(which: string | Filter, options: By & Batched): Promise<number>
  /**
   * Runs ended jobs again: same id and history, attempts from the start. A filter without a `state` means
   * failed jobs. Resolves with how many; `dryRun` only counts. A job that had failed or was cancelled goes on where it was: it
   * keeps what its steps returned. With `forget` it begins anew, and has another idempotency key. One that had succeeded
   * always does.
   * @throws `E_NOT_ALLOWED` if one job was named and cannot be replayed: another job holds its unique key, or one that it needs has not
   * succeeded.
   */
  replay(
    which: string | Filter,
    options: By & Batched & { readonly dryRun?: boolean | undefined; readonly forget?: boolean | undefined },
  ): Promise<number>
  /** Gives the ordering key of failed jobs to the next one in line. Resolves with how many were skipped. */
  skip(which: string | Filter, options: By & Batched): Promise<number>
  /** Edits a waiting job. @throws `E_NOT_FOUND`, `E_NOT_ALLOWED` for one that runs or has ended, `E_OPTION` */
  change(id: string, to: JobEdit, options: By): Promise<void>
  /** Ordering keys that a failed job blocks. */
  blockedKeys(options?: { readonly limit?: number | undefined }): Promise<readonly BlockedKey[]>
  /**
   * Deletes ended jobs and their history past their retention (`keep` of the configuration), and schedules that no worker has
   * declared for 30 days. Resolves with how many jobs.
   */
  prune(
    options?: Batched & {
      readonly succeeded?: Duration | undefined
      readonly failed?: Duration | undefined
    },
  ): Promise<number>
}

const waiting = ['blocked', 'scheduled', 'ready'] as const satisfies readonly JobState[]
const live: readonly JobState[] = [...waiting, 'running', 'suspended']
/** Jobs in one call to the log. */
const chunk = 200

export function createJobs(deps: OperateDeps): Jobs {
  const { codec, settings } = deps

  const publish = (tickets: readonly Ticket[]): Promise<void> => publishTickets(deps, tickets)

  return {
    async get(id) {
      const log = await deps.connectedLog()
      const record = await log.get(checkId(id))
      return record && jobDetails(record, codec)
    },

    async memory(id) {
      const log = await deps.connectedLog()
      await knownJob(log, checkId(id))
      return readJobMemory(log, checkId(id), codec)
    },

    send: async (
      id: string,
      message: MessageDefinition<never, unknown>,
      payload?: unknown,
      options?: SendOptions,
    ) => sendMessage(deps, id, message, payload, options),

    list(filter = {}) {
      const { limit = mostListed, after, ...which } = filter
      checkOptions('list()', filter, [...filterNames, 'limit', 'after'])
      const checked = jobFilter(which)
      const most = checkInteger('limit', limit, 1, mostListed)
      const from = after && checkId(after)
      return listing('jobs', () => listed(deps, checked, most, from), filter.limit)
    },

    async needs(id) {
      const log = await deps.connectedLog()
      return Promise.all((await log.needs(checkId(id))).map((record) => needInfo(record, codec)))
    },

    async neededBy(id, { limit = chunk } = {}) {
      const log = await deps.connectedLog()
      return log.neededBy(checkId(id), checkInteger('limit', limit, 1, mostListed))
    },

    async cancel(which, options) {
      const note = toNote('cancel()', options, ['onProgress'])
      const { log } = await deps.connected()
      let count = 0
      for await (const ids of readIds(log, which, live)) {
        const report = await log.cancel(ids, note)
        count += report.cancelled + report.requested
        options.onProgress?.(report.cancelled + report.requested)
        await notifyWorkers(log, report.workers)
        await publish(report.tickets)
      }
      return count
    },

    async replay(which, options) {
      const note = toNote('replay()', options, ['dryRun', 'onProgress', 'forget'])
      checkFlag('forget of replay()', options.forget)
      const forget = options.forget === true
      const { log } = await deps.connected()
      let count = 0
      for await (const ids of readIds(log, which, ['failed'])) {
        if (options.dryRun) {
          count += typeof which === 'string' ? await replayable(log, ids) : ids.length
          continue
        }
        const report = await log.replay(ids, note, { forget })
        if (typeof which === 'string' && report.duplicates.length > 0) {
          throw new ErrandError(
            'E_NOT_ALLOWED',
            `job ${which} cannot be replayed: another job holds its unique key`,
          )
        }
        if (typeof which === 'string' && report.unmet.length > 0) {
          throw new ErrandError(
            'E_NOT_ALLOWED',
            `job ${which} cannot be replayed: something that it needs has not ended as it must; replay that first, or its flow`,
          )
        }
        count += report.replayed
        options.onProgress?.(report.replayed)
        await publish(report.tickets)
      }
      return count
    },

    async skip(which, options) {
      const note = toNote('skip()', options, ['onProgress'])
      const { log } = await deps.connected()
      let count = 0
      for await (const ids of readIds(log, which, ['failed'])) {
        const report = await log.skip(ids, note)
        count += report.skipped
        options.onProgress?.(report.skipped)
        await publish(report.tickets)
      }
      return count
    },

    async change(id, to, options) {
      const note = toNote('change()', options)
      const change = await toChange(deps, checkId(id), to)
      const { log } = await deps.connected()
      const { ticket } = await log.change(id, change, note)
      await publish(ticket ? [ticket] : [])
    },

    async blockedKeys({ limit = chunk } = {}) {
      const log = await deps.connectedLog()
      return log.blockedKeys(checkInteger('limit', limit, 1, mostListed))
    },

    async prune(options = {}) {
      checkOptions('prune()', options, ['succeeded', 'failed', 'onProgress'])
      const succeededMs = durationMs(options.succeeded ?? settings.keepSucceededMs, 'succeeded')
      const failedMs = durationMs(options.failed ?? settings.keepFailedMs, 'failed')
      const log = await deps.connectedLog()
      let count = 0
      for (let more = true; more;) {
        const report = await log.prune({ succeededMs, failedMs, limit: chunk })
        count += report.jobs
        options.onProgress?.(report.jobs)
        more = report.more
      }
      await removeForgotten(log)
      return count
    },
  }
}

async function* listed(
  deps: OperateDeps,
  filter: ReturnType<typeof jobFilter>,
  limit: number,
  after: string | undefined,
): AsyncGenerator<JobDetails, void> {
  const log = await deps.connectedLog()
  let left = limit
  for await (const page of pages(log, filter, after, Math.min(limit, chunk))) {
    for (const record of page.slice(0, left)) yield await jobDetails(record, deps.codec)
    left -= page.length
    if (left <= 0) return
  }
}

async function replayable(log: JobLog, ids: readonly string[]): Promise<number> {
  const records = await Promise.all(ids.map((id) => log.get(id)))
  return records.filter((record) => record && finalStates.some((state) => state === record.state)).length
}

/** States in which a job has not been started. */
export const waitingStates: readonly JobState[] = waiting
