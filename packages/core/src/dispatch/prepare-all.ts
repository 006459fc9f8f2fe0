import type { AnyJob, RequestOfJob } from '../define/job.ts'
import { resolvedJob } from '../define/job.ts'
import { ErrandError, isErrandError } from '../errors.ts'
import type { NewJob } from '../job/job.ts'
import { describe } from '../options.ts'
import type { DispatchRequest } from './request.ts'

/**
 * Prepares every request, and refuses all of them if one is refused. It is synchronous up to its first promise: see `prepare`.
 * @throws `E_BATCH_REFUSED`, `E_DUPLICATE_JOB`
 */
export async function prepareAll<Request extends Pick<DispatchRequest, 'job'>>(
  requests: readonly Request[],
  prepareOne: (request: Request, index: number) => NewJob | Promise<NewJob>,
): Promise<readonly NewJob[]> {
  const prepared = requests.map((request, index) => {
    try {
      const one = prepareOne(request, index)
      return one instanceof Promise ? one.catch(refusal) : one
    } catch (error) {
      return refusal(error)
    }
  })
  // Awaited only if one is a promise: see `prepare`.
  const results = prepared.some((each) => each instanceof Promise)
    ? await Promise.all(prepared.map(async (each) => each))
    : (prepared as readonly (NewJob | ErrandError)[])
  checkNames(requests.filter((_, index) => !(results[index] instanceof Error)))
  const refused = results.map((each) => (each instanceof Error ? each : undefined))
  const first = refused.findIndex((each) => each !== undefined)
  if (first === -1) return results as readonly NewJob[]
  throw new ErrandError(
    'E_BATCH_REFUSED',
    `none of ${requests.length} requests was stored, because request ${first} was refused: ${refused[first]?.message}`,
    { cause: refused[first], requests: refused },
  )
}

/** @throws `E_OPTION` */
export function checkRequest(what: string, request: unknown): RequestOfJob {
  if (typeof request === 'object' && request !== null && 'job' in request) return request as RequestOfJob
  throw new ErrandError('E_OPTION', `${what} is ${describe(request)}; use job.with(payload, options)`)
}

/** Why a request was refused. Rethrows every other error. */
function refusal(error: unknown): ErrandError {
  if (isErrandError(error)) return error
  throw error
}

/** Two definitions of one name in one call can only be a mistake; one worker could not serve both. */
function checkNames(requests: readonly { readonly job: AnyJob }[]): void {
  const seen = new Map<string, AnyJob>()
  for (const { job } of requests) {
    const { name } = resolvedJob(job)
    if ((seen.get(name) ?? job) !== job) {
      throw new ErrandError('E_DUPLICATE_JOB', `two job definitions of this call are named '${name}'`)
    }
    seen.set(name, job)
  }
}
