import { resolvedJob } from '../define/job.ts'
import type { AnyJob } from '../define/job.ts'
import { checkKey } from '../dispatch/keys.ts'
import { ErrandError } from '../errors.ts'
import { checkId } from '../ids.ts'
import { jobStates } from '../job/state.ts'
import type { JobState } from '../job/state.ts'
import { momentMs } from '../moment.ts'
import { checkJobName, checkQueueName } from '../names.ts'
import { checkOneOf, checkOptions } from '../options.ts'
import type { JobFilter, JobRecord } from '../ports/history.ts'
import type { JobLog } from '../ports/job-log.ts'
import type { Note } from '../ports/operations.ts'
import { freeText, personLimitBytes } from '../text.ts'

/** Which jobs: those that match every given condition. */
export interface Filter {
  /** A definition, or a job's name. */
  readonly job?: AnyJob | string | undefined
  readonly queue?: string | undefined
  readonly state?: JobState | undefined
  readonly tag?: string | undefined
  /** Dispatched before this moment. */
  readonly before?: Date | undefined
}

export const filterNames: readonly string[] = ['job', 'queue', 'state', 'tag', 'before']
const pageSize = 200

/** @throws `E_OPTION`, `E_NAME`, `E_KEY` */
export function jobFilter({ job, queue, state, tag, before }: Filter): JobFilter {
  return {
    ...(job === undefined
      ? {}
      : { name: typeof job === 'string' ? checkJobName(job) : resolvedJob(job).name }),
    ...(queue === undefined ? {} : { queue: checkQueueName(queue) }),
    ...(state === undefined ? {} : { state: checkOneOf('state', state, jobStates) }),
    ...(tag === undefined ? {} : { tag: checkKey('tag', tag) }),
    ...(before === undefined ? {} : { before: momentMs('before', before) }),
  }
}

/** Every job that matches, newest dispatch first, a page at a time. */
export async function* pages(
  log: JobLog,
  filter: JobFilter,
  after?: string,
  size: number = pageSize,
): AsyncGenerator<readonly JobRecord[], void> {
  let last = after
  for (;;) {
    const page = await log.list(filter, { limit: size, after: last })
    if (page.length > 0) yield page
    last = page.at(-1)?.id
    if (page.length < size) return
  }
}

/**
 * The ids that an operator means, a page at a time: one id, or all jobs that match the filter and have one of the states.
 * @throws `E_OPTION` for a filter that names nothing: a mistake must not change every job of the log.
 */
export async function* readIds(
  log: JobLog,
  which: string | Filter,
  states: readonly JobState[],
): AsyncGenerator<readonly string[], void> {
  if (typeof which === 'string') {
    yield [checkId(which)]
    return
  }
  checkOptions('the filter', which, filterNames)
  const filter = jobFilter(which)
  if (Object.keys(filter).length === 0) {
    throw new ErrandError(
      'E_OPTION',
      'an empty filter means every job; name a job, queue, state, tag or before',
    )
  }
  for (const state of filter.state === undefined ? states : [filter.state]) {
    for await (const page of pages(log, { ...filter, state })) yield page.map(({ id }) => id)
  }
}

/** @throws `E_OPTION` unless it says who. */
export function toNote(
  what: string,
  options: { readonly by?: string; readonly reason?: string | undefined } = {},
  more: readonly string[] = [],
): Note {
  checkOptions(what, options, ['by', 'reason', ...more])
  const { by, reason } = options
  if (typeof by === 'string' && by.trim() !== '') {
    const who = freeText(by, personLimitBytes)
    return reason === undefined ? { by: who } : { by: who, reason: freeText(reason) }
  }
  throw new ErrandError('E_OPTION', `${what} needs { by }: the job's history records who did it`)
}

/** The same for acts that take a name alone as well. @throws `E_OPTION` */
export function noteFrom(
  what: string,
  by: string | { readonly by: string; readonly reason?: string | undefined },
): Note {
  return toNote(what, typeof by === 'string' ? { by } : by)
}
