import { resolvedJob } from '../../define/job.ts'
import { jobView } from '../../define/view.ts'
import type { ResolvedWorker } from '../../define/worker.ts'
import type { Failure } from '../../failure/failure.ts'
import { storedFailure } from '../../failure/from-failure.ts'
import type { StoredJob } from '../../job/job.ts'
import type { Logger } from '../../logging.ts'
import { readableFailure } from '../../operate/decode.ts'
import { asError, asPayload } from '../../ports/codec.ts'
import type { Codec, Encoded } from '../../ports/codec.ts'
import type { LostForGood } from '../../ports/job-log.ts'
import { parseWith } from '../../schema.ts'
import type { HookRunner } from './hooks.ts'
import { reportLost } from './report.ts'

export interface LostParts {
  readonly worker: ResolvedWorker
  readonly hooks: HookRunner
  readonly codec: Codec
  readonly logger: Logger
}

/**
 * Reports a job that failed because its last run was lost, and calls `failing` and `failed`: no worker was left to do
 * it. Never rejects.
 */
export async function lostForGood(lost: LostForGood, parts: LostParts): Promise<void> {
  const { worker, hooks, codec, logger } = parts
  const { job, cause } = lost
  try {
    const error = await readFailure(lost.error, job.id, codec)
    reportLost(parts, lost, error)
    const handler = worker.handlers.get(job.name)
    const stored = await readPayload(job, codec)
    const parsed = stored && handler ? await parsePayload(stored.payload, handler.job) : undefined
    await hooks.failing({ job: jobView(job, stored?.payload), error, cause }, handler, parsed)
  } catch (error) {
    logger.error({ err: error, job: job.id }, 'the hooks for a lost job could not be called')
  }
}

async function readPayload(job: StoredJob, codec: Codec): Promise<{ readonly payload: unknown } | undefined> {
  try {
    return { payload: JSON.parse(await codec.decode(job.payload, asPayload(job))) }
  } catch {
    return undefined
  }
}

async function parsePayload(
  payload: unknown,
  job: Parameters<typeof resolvedJob>[0],
): Promise<{ readonly payload: unknown } | undefined> {
  const schema = resolvedJob(job).payload
  if (!schema) return { payload: undefined }
  const parsed = await parseWith(schema, payload)
  return parsed.issues ? undefined : { payload: parsed.value }
}

async function readFailure(error: Encoded, job: string, codec: Codec): Promise<Failure> {
  // The log writes this error itself as plain JSON, for every codec.
  if (error.codec === 'json') return storedFailure(JSON.parse(error.text))
  return readableFailure(codec, error, asError(job))
}
