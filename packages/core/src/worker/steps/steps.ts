import type { Maybe } from '../../define/handler.ts'
import type { FlowRequest } from '../../define/flow.ts'
import type { AnyJob } from '../../define/job.ts'
import type { MessageDefinition } from '../../define/message.ts'
import type { Call, Receive, RunStep, Sleep, Step, StepOptions } from '../../define/step.ts'
import { checkTransaction } from '../../dispatch/transaction.ts'
import type { Duration } from '../../duration.ts'
import type { ErrandError } from '../../errors.ts'
import type { Claim, WorkerRef } from '../../job/claim.ts'
import { checkFunction, checkOptions } from '../../options.ts'
import type { WorkerDeps } from '../deps.ts'
import { Frame } from './frame.ts'
import type { FrameRun } from './frame.ts'
import { Recollection } from './recollection.ts'
import type { Remembering } from './remembering.ts'
import { StepCalls } from './step-calls.ts'
import { realWaiting } from './waiting.ts'
import { WaitCalls } from './wait-calls.ts'

/** The run that has the steps. */
export interface StepsRun extends FrameRun {
  readonly claim: Claim
  /** Of the handler's memory. */
  readonly memoryVersion: number
  /** Ends the run, because its claim is gone. */
  abort(reason: Error): void
}

export interface StepsParts {
  readonly ref: WorkerRef
  readonly stopping: AbortSignal
  readonly remembering: Remembering
  readonly deps: Pick<WorkerDeps, 'log' | 'codec' | 'clock' | 'dispatch' | 'dispatchFlow' | 'waiting'>
}

/** The steps and waits of one run. Made when its handler asks for one: most never do. */
export class Steps {
  readonly frame: Frame
  readonly #recollection: Recollection
  readonly #steps: StepCalls
  readonly #waits: WaitCalls

  constructor(run: StepsRun, { ref, stopping, remembering, deps }: StepsParts) {
    const { claim, memoryVersion } = run
    const { log, codec, clock } = deps
    const waiting = deps.waiting ?? realWaiting(clock)
    const frame = new Frame({ run, quiet: waiting.quiet, stopping })
    const idempotencyKey = toIdempotencyKey(claim)
    const recollection = new Recollection({ id: claim.id, run: claim.run, memoryVersion, frame, log, clock })
    const steps = new StepCalls({
      id: claim.id,
      run: claim.run,
      idempotencyKey,
      memoryVersion,
      ref,
      frame,
      recollection,
      remembering,
      log,
      codec,
      clock,
      claimLost: (error) => run.abort(error),
    })
    this.frame = frame
    this.#recollection = recollection
    this.#steps = steps
    this.#waits = new WaitCalls({
      claim,
      idempotencyKey,
      frame,
      recollection,
      steps,
      longestInSlotMs: waiting.longestInSlotMs,
      codec,
      clock,
      log,
      dispatcher: deps,
    })
  }

  readonly step = (<T, Out>(
    name: string,
    run: (step: Step) => Maybe<T>,
    options: StepOptions<T, Out> = {},
  ): Promise<unknown> => {
    const tx = options?.tx
    return this.frame.begin(
      name,
      async () => {
        checkFunction(`the second argument of ctx.step('${name}')`, run)
        checkOptions(`ctx.step('${name}') options`, options, ['tx', 'returns'])
        if (tx === undefined) return this.#steps.run(name, run, options.returns)
        checkTransaction(tx)
        return this.#steps.runInside(name, run, tx, options.returns)
      },
      tx !== undefined,
    )
  }) as RunStep

  readonly sleep: Sleep = (name, how) => this.#waits.sleep(name, how)

  readonly receive = ((
    name: string,
    message: MessageDefinition<never, unknown>,
    options?: { readonly timeout: Duration },
  ) => this.#waits.receive(name, message, options)) as Receive

  readonly call: Call = (
    name: string,
    what: AnyJob | FlowRequest<unknown>,
    payload?: unknown,
    options?: object,
  ): Promise<never> =>
    // What it is shows at run time; its result, in the types of `Call`.
    this.#waits.call(name, what as AnyJob, payload, options)

  /** Why this handler must not begin: a newer one has remembered something. */
  findNewer(): Promise<ErrandError | undefined> {
    return this.#recollection.findNewer()
  }
}

/** The same for all runs of a job; a replay of one that had succeeded is another job to the world. */
export function toIdempotencyKey({ id, replays }: Claim): string {
  return replays === 0 ? id : `${id}#${replays}`
}
