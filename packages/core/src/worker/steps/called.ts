import { ErrandError } from '../../errors.ts'
import { summarize } from '../../failure/failure.ts'
import type { Failure } from '../../failure/failure.ts'
import { errorFrom } from '../../failure/from-failure.ts'
import type { StoredStep } from '../../job/memory.ts'
import { decodedFailure } from '../../operate/decode.ts'
import { asError, asResult } from '../../ports/codec.ts'
import type { Codec } from '../../ports/codec.ts'
import type { MemberEnd } from '../../ports/flows.ts'
import type { JobLog } from '../../ports/job-log.ts'
import { readEnd } from '../run/needs.ts'
import { read } from './read-stored.ts'

/** Ends of members in one page. */
const pageSize = 500
/** What an operator can do about a call that failed. */
const mend = 'catch this error where the handler can do without it, or replay that first and then this job'

/** The result of a job that was called. @throws `E_CALL_FAILED` if it has none, and `E_STEP_RESULT` */
export async function readCalledJob(codec: Codec, { name, on = '', by, body }: StoredStep): Promise<unknown> {
  if (by === 'succeeded') return read(codec, `call '${name}'`, body, asResult(on))
  const failure = body && (await readFailure(codec, body, on))
  const why =
    by === 'cancelled' ? 'was cancelled' : `failed: ${failure ? summarize(failure) : 'no error is known'}`
  throw new ErrandError('E_CALL_FAILED', `job ${on}, which '${name}' called, ${why}; ${mend}`, {
    ids: [on],
    cause: failure && errorFrom(failure),
  })
}

/**
 * What the members of a flow that was called have left, in their order.
 * @param settled how each of them ended, instead of the results of those that succeeded
 * @throws `E_CALL_FAILED` unless `settled`
 */
export async function readCalledFlow(
  codec: Codec,
  log: Pick<JobLog, 'memberEnds' | 'readFlow'>,
  { name, on = '', by }: StoredStep,
  settled: boolean,
): Promise<readonly unknown[]> {
  if (by !== 'succeeded' && !settled) {
    const flow = await log.readFlow(on)
    const counts = flow
      ? ` (of ${flow.total} members ${flow.failed} failed, ${flow.cancelled} were cancelled)`
      : ''
    const why = by === 'cancelled' ? 'was cancelled' : 'failed'
    throw new ErrandError('E_CALL_FAILED', `flow ${on}, which '${name}' called, ${why}${counts}; ${mend}`, {
      ids: [on],
    })
  }
  const ends: unknown[] = []
  for await (const end of memberEnds(log, on)) {
    const { id, state, body } = end
    if (settled) ends.push(await readEnd({ on: id, state, body }, codec))
    else if (state === 'succeeded') ends.push(await read(codec, `call '${name}'`, body, asResult(id)))
  }
  return ends
}

async function* memberEnds(log: Pick<JobLog, 'memberEnds'>, flow: string): AsyncGenerator<MemberEnd, void> {
  for (let after: number | undefined; ;) {
    const { ends, next } = await log.memberEnds(flow, { limit: pageSize, after })
    yield* ends
    if (next === undefined) return
    after = next
  }
}

async function readFailure(
  codec: Codec,
  body: NonNullable<StoredStep['body']>,
  job: string,
): Promise<Failure | undefined> {
  try {
    return await decodedFailure(codec, body, asError(job))
  } catch {
    // That it failed is what counts.
    return undefined
  }
}
