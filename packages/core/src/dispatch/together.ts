import { ErrandError } from '../errors.ts'
import type { NewJob } from '../job/job.ts'
import type { Appended } from '../ports/job-log.ts'

/** How often members are left out because live jobs hold their keys: each time other ones may hold them. */
const mostTries = 5

/** The live jobs that hold the unique keys of jobs, by the ids of these. */
export type Holders = ReadonlyMap<string, string>

export interface Stored {
  /** What was stored, with the log's answers. */
  readonly jobs: readonly NewJob[]
  readonly appended: readonly Appended[]
  /** Of those that were not stored. */
  readonly holders: Holders
}

export interface TogetherParts {
  /** The jobs without those that these hold the keys of. What needs one of them needs its holder. */
  readonly without: (holders: Holders) => readonly NewJob[]
  readonly append: (jobs: readonly NewJob[]) => Promise<readonly Appended[]>
  /** Whether to leave out members that are duplicates of live jobs. */
  readonly skip: boolean
}

/**
 * Stores jobs that need each other or are members of a flow: all or none.
 * @throws `E_NEED_UNKNOWN`, `E_FLOW_ENDED`, `E_FLOW_DUPLICATE`, `E_LOG`
 */
export async function storeTogether({ without, append, skip }: TogetherParts): Promise<Stored> {
  const holders = new Map<string, string>()
  for (let tries = 1; ; tries += 1) {
    const jobs = without(holders)
    const appended = await append(jobs)
    const found = findHolders(jobs, appended)
    const isStored = !isInTheWay(jobs, appended, found)
    if (!isStored && (!skip || tries === mostTries)) throw duplicateError(jobs, found)
    for (const [id, holder] of found) holders.set(id, holder)
    if (isStored) return { jobs, appended, holders }
  }
}

/** @throws for everything else that is in the way */
function findHolders(jobs: readonly NewJob[], appended: readonly Appended[]): Holders {
  const found = new Map<string, string>()
  for (const [index, job] of jobs.entries()) {
    const answer = appended[index]
    if (answer?.status === 'duplicate' && answer.id !== job.id) found.set(job.id, answer.id)
    else if (answer?.status !== 'withheld') checkStored(job, answer)
  }
  return found
}

/** @throws unless the job is stored: `E_NEED_UNKNOWN`, `E_FLOW_ENDED`, `E_LOG` */
export function checkStored(
  job: NewJob,
  appended: Appended | undefined,
): asserts appended is Appended & { readonly status: 'added' | 'duplicate' } {
  if (appended?.status === 'added' || appended?.status === 'duplicate') return
  if (appended?.status === 'unknown-need') {
    throw new ErrandError(
      'E_NEED_UNKNOWN',
      `${job.name} needs ${appended.need}, and the log has no job or flow with this id (was its transaction committed?)`,
      { ids: [appended.need] },
    )
  }
  if (appended?.status === 'flow-ended') {
    throw new ErrandError(
      'E_FLOW_ENDED',
      `${job.name} cannot be added to flow ${appended.flow}: it has ended, is being cancelled, or is not there`,
      { ids: [appended.flow] },
    )
  }
  const why = appended?.status === 'refused' ? appended.why : 'it gave no answer'
  throw new ErrandError('E_LOG', `the job log refused ${job.name}: ${why}`, { ids: [job.id] })
}

/** A job that is no member is a duplicate alone, as in any dispatch: the others are stored. */
function isInTheWay(jobs: readonly NewJob[], appended: readonly Appended[], holders: Holders): boolean {
  return (
    appended.some(({ status }) => status === 'withheld') ||
    jobs.some(({ id, flow }) => flow !== undefined && holders.has(id))
  )
}

function duplicateError(jobs: readonly NewJob[], holders: Holders): ErrandError {
  const names = [...new Set(jobs.filter(({ id }) => holders.has(id)).map(({ name }) => name))]
  return new ErrandError(
    'E_FLOW_DUPLICATE',
    `none of ${jobs.length} jobs was stored: live jobs hold the unique keys of ${holders.size} of them (${names.slice(0, 8).join(', ')}); their ids are in ids. Leave these out with onDuplicate: 'skip', and wait for them with after`,
    { ids: [...new Set(holders.values())] },
  )
}

/** The jobs without those, in their order. What needs one of them needs its holder. */
export function leaveOut(jobs: readonly NewJob[], holders: Holders): readonly NewJob[] {
  if (holders.size === 0) return jobs
  return jobs
    .filter(({ id }) => !holders.has(id))
    .map((job) =>
      job.needs?.some(({ on }) => holders.has(on))
        ? { ...job, needs: job.needs.map((need) => ({ ...need, on: holders.get(need.on) ?? need.on })) }
        : job,
    )
}
