import { findOrderingKey } from './order.ts'
import type { Invariant, JobHistory, LedgerLine, Violation } from './types.ts'

/** A job's first success in the ledger: the lines at which its handler began and ended. */
interface Work {
  readonly began: number
  readonly ended: number
}

/**
 * Compares the handlers' own account with the log's. Nothing ran without a claim, nothing is recorded as done that no
 * handler did, and the work for one key was done in order. A handler may end after its claim is lost: that is no fault.
 */
export function checkLedger(
  jobs: ReadonlyMap<string, JobHistory>,
  dispatched: readonly JobHistory[],
  ledger: readonly LedgerLine[],
): Violation[] {
  const lines = new Map<string, Map<LedgerLine['mark'], number>>()
  const found: Violation[] = []
  const wrong = (invariant: Invariant, jobId: string, text: string): void =>
    void found.push({ invariant, jobId, text })

  for (const [index, { jobId, run, mark, worker }] of ledger.entries()) {
    const name = `${jobId}/${run}`
    const marks = lines.get(name) ?? new Map<LedgerLine['mark'], number>()
    if (marks.has(mark))
      wrong('I3', jobId, `run ${run} ${mark} twice in the ledger: two handlers had one claim`)
    else marks.set(mark, index)
    lines.set(name, marks)
    if (mark === 'ended') continue
    const start = jobs.get(jobId)?.events.find((event) => event.type === 'started' && event.run === run)
    if (!start) wrong('I3', jobId, `a handler began run ${run}, which the log never granted`)
    else if (worker !== undefined && worker !== start.worker) {
      wrong(
        'I3',
        jobId,
        `a handler of worker ${worker} began run ${run}, which was granted to ${start.worker ?? 'nobody'}`,
      )
    }
  }

  const work = (job: JobHistory): Work | undefined => {
    const success = job.events.find((event) => event.type === 'succeeded')
    const marks = success && lines.get(`${job.id}/${success.run}`)
    const [began, ended] = [marks?.get('began'), marks?.get('ended')]
    return began === undefined || ended === undefined ? undefined : { began, ended }
  }
  for (const job of dispatched) {
    const success = job.events.find((event) => event.type === 'succeeded')
    if (success && !work(job))
      wrong('I1', job.id, `run ${success.run} is recorded as succeeded, and no handler ended it`)
    if (job.onCrash === 'fail') {
      for (const text of begunAgain(job, lines)) wrong('I6', job.id, text)
    }
  }
  return [...found, ...outOfOrder(dispatched, work)]
}

/** A release says that the handler had not begun, and the ledger shows that it had. */
function begunAgain(
  job: JobHistory,
  lines: ReadonlyMap<string, ReadonlyMap<LedgerLine['mark'], number>>,
): string[] {
  return job.events.flatMap((event, index) => {
    if (event.type !== 'released' || !lines.get(`${job.id}/${event.run}`)?.has('began')) return []
    const next = job.events
      .slice(index)
      .find((later) => later.type === 'started' || later.type === 'replayed')
    return next?.type === 'started'
      ? [
          `run ${next.run} was started although the handler of run ${event.run} had begun and onCrash is 'fail'`,
        ]
      : []
  })
}

function outOfOrder(
  dispatched: readonly JobHistory[],
  work: (job: JobHistory) => Work | undefined,
): Violation[] {
  const last = new Map<string, { readonly id: string; readonly ended: number }>()
  return dispatched.flatMap((job): Violation[] => {
    const key = findOrderingKey(job)
    const done = key === undefined || isReplayed(job) ? undefined : work(job)
    if (key === undefined || !done) return []
    const before = last.get(key)
    if (!before || done.ended > before.ended) last.set(key, { id: job.id, ended: done.ended })
    return before && done.began < before.ended
      ? [
          {
            invariant: 'I5',
            jobId: job.id,
            text: `its handler began before that of its predecessor ${before.id} of key ${key} had ended`,
          },
        ]
      : []
  })
}

/** Its success may be of a later life: jobs that were dispatched after it had its key in between. */
function isReplayed({ events }: JobHistory): boolean {
  return events.some((event) => event.type === 'replayed')
}
