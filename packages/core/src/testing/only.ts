import { resolvedJob } from '../define/job.ts'
import type { AnyJob } from '../define/job.ts'
import { ErrandError } from '../errors.ts'
import type { Verdict } from '../job/claim.ts'
import { describe } from '../options.ts'
import type { JobLog } from '../ports/job-log.ts'

/** Lets a log grant only jobs of some names, while a test asks for that. */
export class Only {
  #names: ReadonlySet<string> | undefined

  /** @throws `E_OPTION` */
  set(jobs: readonly AnyJob[] | undefined): void {
    if (jobs !== undefined && !Array.isArray(jobs))
      throw new ErrandError('E_OPTION', `only is ${describe(jobs)}; use a list of jobs`)
    this.#names = jobs && new Set(jobs.map((job: AnyJob) => resolvedJob(job).name))
  }

  /** Whether a job that this run may start is ready. Undefined: it may start every one. */
  async isReady(log: JobLog): Promise<boolean | undefined> {
    if (!this.#names) return undefined
    const pages = [...this.#names].map((name) => log.list({ state: 'ready', name }, { limit: 1 }))
    return (await Promise.all(pages)).some((page) => page.length > 0)
  }

  keepFrom(log: JobLog): JobLog {
    const mayStart = async (id: string): Promise<boolean> =>
      this.#names?.has((await log.get(id))?.name ?? '') !== false
    const claim: JobLog['claim'] = async (tickets, max, by, request, options) => {
      const allowed = await Promise.all(tickets.map(({ id }) => mayStart(id)))
      const granted = await log.claim(
        tickets.filter((_, index) => allowed[index]),
        max,
        by,
        request,
        options,
      )
      const verdicts = granted.values()
      return tickets.map((ticket, index): Verdict => {
        const verdict = allowed[index] ? verdicts.next().value : undefined
        return verdict ?? { ticket, verdict: 'drop', why: 'blocked' }
      })
    }
    // What is taken without a ticket is not chosen by name.
    const take: JobLog['take'] = async (queues, ...rest) => log.take(this.#names ? [] : queues, ...rest)
    const settleAndTake = log.settleAndTake?.bind(log)
    return {
      ...log,
      claim,
      take,
      ...(settleAndTake && {
        settleAndTake: (settlements, queues, ...rest) =>
          settleAndTake(settlements, this.#names ? [] : queues, ...rest),
      }),
    }
  }
}
