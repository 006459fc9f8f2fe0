import type { Context } from '../define/handler.ts'
import { seal } from '../codec/sealed-text.ts'
import type { ResolvedJob } from '../define/policy.ts'
import type { JobView } from '../define/view.ts'
import type { Dispatch } from '../dispatch/request.ts'
import { checkTransaction } from '../dispatch/transaction.ts'
import { durationMs } from '../duration.ts'
import { toFailure } from '../errors.ts'
import type { Claim, WorkerRef } from '../job/claim.ts'
import type { Logger } from '../logging.ts'
import { resultOf } from '../ports/codec.ts'
import type { Progress } from '../ports/job-log.ts'
import type { WorkerDeps } from './deps.ts'
import type { Outcomes } from './outcome.ts'
import { checkResult } from './result.ts'

export interface ContextParts {
  readonly claim: Claim
  readonly job: ResolvedJob
  readonly view: JobView
  readonly ref: WorkerRef
  /** Aborts when the run shall end. */
  readonly signal: () => AbortSignal
  readonly stopping: AbortSignal
  readonly outcomes: Outcomes
  readonly deps: Pick<WorkerDeps, 'log' | 'codec' | 'logger' | 'settings' | 'dispatch'>
  readonly progress: (progress: Progress) => void
  /** `ctx.complete` is about to write: from now on only the log knows whether the run has succeeded. */
  readonly completing: (result: unknown) => void
}

/** What a handler gets. Its functions need no `this`, so they may be taken out of it. */
export function makeContext(parts: ContextParts): Context {
  const { claim, job, view, ref, outcomes, deps } = parts
  const fence = { id: claim.id, run: claim.run }
  let log: Logger | undefined
  // Most handlers say nothing of their own, and a child logger costs more than their calls.
  const logger = (): Logger =>
    (log ??= childLogger(deps.logger, { job: claim.id, name: view.name, attempt: claim.attempt }))
  return {
    job: view,
    run: claim.run,
    attempt: claim.attempt,
    maxAttempts: claim.maxAttempts,
    idempotencyKey: claim.replays === 0 ? claim.id : `${claim.id}#${claim.replays}`,
    get signal() {
      return parts.signal()
    },
    stopping: parts.stopping,
    get log() {
      return logger()
    },
    progress(value, message) {
      if (Number.isFinite(value)) {
        const text = message === undefined ? undefined : seal(deps.codec, message, claim.id)
        const send = (sealed: string | undefined): void =>
          parts.progress({ ...fence, value, message: sealed })
        if (text instanceof Promise)
          text.then(send, (error: unknown) => logger().warn({ err: error }, 'a progress was not sent'))
        else send(text)
      } else logger().warn({ value: String(value) }, 'ctx.progress was called with a value that is no number')
    },
    dispatch: ((child, payload, options) =>
      deps.dispatch({ job: child, payload, options }, { id: claim.id, meta: view.meta })) as Dispatch,
    async complete(completion: { readonly tx: unknown; readonly result?: unknown }) {
      const { tx } = completion
      checkTransaction(tx)
      const { resultLimitBytes } = deps.settings
      const { json, value } = await checkResult(view.name, job.returns, completion.result, resultLimitBytes)
      const result = json === undefined ? undefined : await deps.codec.encode(json, resultOf(claim.id))
      parts.completing(value)
      await deps.log.complete(fence, result, ref, tx)
    },
    retry: ({ after, reason } = {}) => {
      const afterMs = after === undefined ? undefined : durationMs(after, 'ctx.retry({ after })')
      return outcomes.make({ kind: 'retry', afterMs, reason })
    },
    snooze: (delay, reason) =>
      outcomes.make({ kind: 'snooze', delayMs: durationMs(delay, 'ctx.snooze(delay)'), reason }),
    fail: (reason) =>
      outcomes.make({
        kind: 'fail',
        failure: typeof reason === 'string' ? { name: 'Failed', message: reason } : toFailure(reason),
      }),
    cancel: (reason) => outcomes.make({ kind: 'cancel', reason }),
    release: () => outcomes.make({ kind: 'release' }),
  }
}

/** A pino child where the logger can make one; else the same lines with the bindings in each. */
export function childLogger(logger: Logger, bindings: Readonly<Record<string, unknown>>): Logger {
  const makesChildren = logger as Logger & { child?(bindings: object): Logger }
  if (typeof makesChildren.child === 'function') return makesChildren.child(bindings)
  return {
    debug: (o, m) => logger.debug({ ...bindings, ...o }, m),
    info: (o, m) => logger.info({ ...bindings, ...o }, m),
    warn: (o, m) => logger.warn({ ...bindings, ...o }, m),
    error: (o, m) => logger.error({ ...bindings, ...o }, m),
  }
}
