import { findBody } from '../../define/flow.ts'
import type { FlowBody } from '../../define/flow-body.ts'
import type { AnyJob } from '../../define/job.ts'
import { resolvedMessage } from '../../define/message.ts'
import type { MessageDefinition } from '../../define/message.ts'
import type { CallFlowOptions } from '../../define/step.ts'
import type { DispatchRequest, Parent } from '../../dispatch/request.ts'
import { durationMs } from '../../duration.ts'
import type { Duration } from '../../duration.ts'
import { ErrandError } from '../../errors.ts'
import type { Claim } from '../../job/claim.ts'
import { mostWaits } from '../../job/memory.ts'
import type { NewWait, StoredStep } from '../../job/memory.ts'
import { momentMs } from '../../moment.ts'
import { checkFlag, checkOptions } from '../../options.ts'
import type { Clock } from '../../ports/clock.ts'
import type { Codec } from '../../ports/codec.ts'
import type { JobLog } from '../../ports/job-log.ts'
import { splitMeta } from '../../schedule/tick-meta.ts'
import type { WorkerDeps } from '../deps.ts'
import type { Awaitable } from './awaitable.ts'
import { calledId } from './called-id.ts'
import { isWaiting } from './frame.ts'
import type { Frame, OpenCall, Wait } from './frame.ts'
import { insist } from './insist.ts'
import { readCalledFlow, readCalledJob } from './called.ts'
import { readMessage } from './read-stored.ts'
import type { Recollection } from './recollection.ts'
import type { StepCalls } from './step-calls.ts'

export interface WaitCallsParts {
  readonly claim: Claim
  readonly idempotencyKey: string
  readonly frame: Frame
  readonly recollection: Recollection
  readonly steps: Pick<StepCalls, 'keepWait'>
  readonly longestInSlotMs: number
  readonly codec: Codec
  readonly clock: Clock
  readonly log: Pick<JobLog, 'memberEnds' | 'readFlow'>
  readonly dispatcher: Pick<WorkerDeps, 'dispatch' | 'dispatchFlow'>
}

/** How to wait for something that is not remembered. */
interface Plan {
  /** So short that the handler waits in its slot. */
  readonly inSlotMs?: number | undefined
  /** What must be done before the run may suspend, once the handler waits for it. */
  readonly start?: (() => Promise<void>) | undefined
  readonly describe: () => NewWait
}

/** Waits of a handler: what is over gives its outcome, everything else settles in a later run. */
export class WaitCalls {
  readonly #parts: WaitCallsParts

  constructor(parts: WaitCallsParts) {
    this.#parts = parts
  }

  sleep(name: string, how: Duration | { readonly until: Date }): Awaitable<void> {
    const { clock, longestInSlotMs: longestMs } = this.#parts
    return this.#wait(
      name,
      'sleep',
      async () => undefined,
      () => {
        const what = `ctx.sleep('${name}')`
        if (typeof how === 'object' && how !== null) {
          checkOptions(what, how, ['until'])
          const at = momentMs(`until of ${what}`, how.until)
          const leftMs = at - clock.now()
          return {
            inSlotMs: leftMs <= longestMs ? leftMs : undefined,
            describe: () => ({ kind: 'sleep', name, until: { at } }),
          }
        }
        const waitMs = durationMs(how, what)
        const left = countdown(clock, waitMs)
        return {
          inSlotMs: waitMs <= longestMs ? waitMs : undefined,
          describe: () => ({ kind: 'sleep', name, until: { delayMs: left() } }),
        }
      },
    )
  }

  receive(
    name: string,
    definition: MessageDefinition<never, unknown>,
    options: { readonly timeout?: Duration | undefined } = {},
  ): Awaitable<unknown> {
    const { clock, codec } = this.#parts
    return this.#wait(
      name,
      'message',
      (stored) => readMessage(codec, stored, resolvedMessage(definition)),
      () => {
        const what = `ctx.receive('${name}')`
        const { name: message } = resolvedMessage(definition)
        checkOptions(what, options, ['timeout'])
        const { timeout } = options
        const left =
          timeout === undefined ? undefined : countdown(clock, durationMs(timeout, `timeout of ${what}`))
        return { describe: () => ({ kind: 'message', name, message, timeoutMs: left?.() }) }
      },
    )
  }

  /** @param what a job, or a flow: its body says so. */
  call(name: string, what: AnyJob, payload: unknown, options: DispatchRequest['options']): Awaitable<never> {
    const body = findBody(what)
    return body
      ? this.#callFlow(name, body, payload ?? {})
      : this.#callJob(name, { job: what, payload, options })
  }

  #callJob(name: string, request: DispatchRequest): Awaitable<never> {
    const { codec, dispatcher } = this.#parts
    return this.#called(
      name,
      (stored) => readCalledJob(codec, stored),
      (parent) => dispatcher.dispatch(request, parent),
      () => {
        if (request.options && 'id' in request.options)
          throw new ErrandError('E_OPTION', `ctx.call('${name}') takes no id: it follows from the call`)
      },
    )
  }

  #callFlow(name: string, body: FlowBody, options: CallFlowOptions): Awaitable<never> {
    const { codec, log, dispatcher } = this.#parts
    const { settled, ...rest } = options
    return this.#called(
      name,
      (stored) => readCalledFlow(codec, log, stored, settled === true),
      (parent) => dispatcher.dispatchFlow(body, rest, parent),
      () => {
        checkOptions(`ctx.call('${name}') options of a flow`, options, ['settled', 'onDuplicate'])
        checkFlag(`settled of ctx.call('${name}')`, settled)
      },
    )
  }

  #called(
    name: string,
    readIt: (stored: StoredStep) => Promise<unknown>,
    dispatch: (parent: Parent) => Promise<{ readonly id: string }>,
    check: () => void,
  ): Awaitable<never> {
    const { claim, idempotencyKey, clock, frame } = this.#parts
    const { queue, orderingKey } = claim.job
    const parent: Parent = {
      id: claim.id,
      meta: splitMeta(claim.job.meta).meta,
      childId: () => calledId(claim.id, idempotencyKey, name),
      waitingWith: orderingKey === undefined ? undefined : { queue, orderingKey },
    }
    // What it gives is in the types of `Call`.
    return this.#wait(
      name,
      'call',
      (stored) => readIt(stored) as Promise<never>,
      (stored) => {
        check()
        // An earlier run has dispatched it.
        let on = stored?.on
        return {
          start: async () => {
            on ??= (
              await insist(
                () => dispatch(parent),
                clock,
                () => frame.isClosed,
              )
            ).id
            if (on === claim.id) throw calledItself(name)
          },
          describe: () => ({ kind: 'call', name, on: on ?? '' }),
        }
      },
    )
  }

  #wait<T>(
    name: string,
    kind: 'sleep' | 'message' | 'call',
    read: (stored: StoredStep) => Promise<T>,
    plan: (stored: StoredStep | undefined) => Plan,
  ): Awaitable<T> {
    const { frame, recollection, steps, clock } = this.#parts
    return frame.begin<T>(name, async (open, fail) => {
      // What is wrong with the call is told in every run.
      plan(undefined)
      const stored = await recollection.find(name, kind)
      if (stored?.order !== undefined) return recollection.release(stored, () => read(stored))
      const planned = plan(stored)
      if (!stored && planned.inSlotMs !== undefined) {
        await clock.sleep(planned.inSlotMs)
        return (await steps.keepWait(name)) as T
      }
      this.#open(name, planned, open, fail)
      return isWaiting
    })
  }

  #open(name: string, { describe, start }: Plan, open: OpenCall, fail: (error: unknown) => void): void {
    const { suspension } = this.#parts.frame
    if (suspension.open.size >= mostWaits) {
      throw new ErrandError(
        'E_STEP_LIMIT',
        `the handler waits for more than ${mostWaits} things at once; call a batch of jobs instead: it is one wait`,
      )
    }
    const wait: Wait = { name, describe }
    suspension.wait(wait)
    const begin = async (): Promise<void> => {
      suspension.begin()
      try {
        await start?.()
        suspension.await(wait)
      } catch (error) {
        suspension.drop(wait)
        fail(error)
      }
      suspension.end()
    }
    const awaited = (): void => void (start ? begin() : suspension.await(wait))
    if (open.isAwaited) awaited()
    else open.onAwaited = awaited
  }
}

function calledItself(name: string): ErrandError {
  return new ErrandError(
    'E_CALL_DEADLOCK',
    `what '${name}' calls has the unique key of this job, and so is this job, which would wait for its own end; pass another uniqueKey to ctx.call`,
  )
}

/** What is left of a time that begins now. */
function countdown(clock: Clock, ms: number): () => number {
  const sinceMs = clock.monotonicMs()
  return () => Math.max(0, Math.round(ms - (clock.monotonicMs() - sinceMs)))
}
