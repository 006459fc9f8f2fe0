import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { Maybe } from '../../define/handler.ts'
import type { Step } from '../../define/step.ts'
import { claimLostError, ErrandError } from '../../errors.ts'
import type { WorkerRef } from '../../job/claim.ts'
import { mostSteps } from '../../job/memory.ts'
import type { NewStep, StoredStep } from '../../job/memory.ts'
import { asStep } from '../../ports/codec.ts'
import type { Codec } from '../../ports/codec.ts'
import type { Clock } from '../../ports/clock.ts'
import type { JobLog } from '../../ports/job-log.ts'
import type { Transaction } from '../../ports/transaction.ts'
import type { Frame } from './frame.ts'
import { readStepJson } from './read-stored.ts'
import { checkKind } from './recollection.ts'
import type { Recollection } from './recollection.ts'
import type { Remembering } from './remembering.ts'
import { stepScope } from './scope.ts'
import { checkStepSize, parseStepJson, toStepJson } from './step-json.ts'

export interface StepCallsParts {
  readonly id: string
  readonly run: number
  readonly idempotencyKey: string
  readonly memoryVersion: number
  readonly ref: WorkerRef
  readonly frame: Frame
  readonly recollection: Recollection
  readonly remembering: Remembering
  readonly log: Pick<JobLog, 'recall' | 'rememberInside'>
  readonly codec: Codec
  readonly clock: Clock
  /** The log says that the claim is gone. */
  readonly claimLost: (error: Error) => void
}

type Run = (step: Step) => Maybe<unknown>
type Returns = StandardSchemaV1 | undefined

/** Runs steps, or gets what they returned in an earlier run. */
export class StepCalls {
  readonly #parts: StepCallsParts

  constructor(parts: StepCallsParts) {
    this.#parts = parts
  }

  async run(name: string, run: Run, returns: Returns): Promise<unknown> {
    const { recollection } = this.#parts
    const stored = await recollection.find(name, 'step')
    if (stored) return recollection.release(stored, () => this.#read(stored, returns))
    if (recollection.count >= mostSteps) throw fullError()
    const { step, json } = await this.#execute(name, run)
    return this.#keep(step, () => parseStepJson(name, returns, json), returns)
  }

  /** The end of a wait that was waited in its slot. */
  async keepWait(name: string): Promise<undefined> {
    const step = await this.#newStep(name, undefined, 0)
    await this.#keep(step, async () => undefined, undefined)
  }

  /**
   * All of it goes through the transaction, so neither what the run remembers nor what it remembered before it is repeated
   * after a rollback matters.
   */
  async runInside(name: string, run: Run, tx: Transaction, returns: Returns): Promise<unknown> {
    const { log, ref, id, run: number } = this.#parts
    const stored = await log.recall({ id, run: number }, name, ref, tx)
    if (stored) {
      checkKind(stored, 'step')
      return this.#read(stored, returns)
    }
    const { step, json } = await this.#execute(name, run)
    const value = await parseStepJson(name, returns, json)
    await log.rememberInside(step, ref, tx)
    return value
  }

  async #execute(
    name: string,
    run: Run,
  ): Promise<{ readonly step: NewStep; readonly json: string | undefined }> {
    const { clock, frame, idempotencyKey } = this.#parts
    const sinceMs = clock.monotonicMs()
    const value = await stepScope.run(frame, () => run({ idempotencyKey: `${idempotencyKey}/${name}` }))
    const json = toStepJson(name, value)
    return { step: await this.#newStep(name, json, clock.monotonicMs() - sinceMs), json }
  }

  async #newStep(name: string, json: string | undefined, durationMs: number): Promise<NewStep> {
    const { id, run, memoryVersion, codec } = this.#parts
    const result = json === undefined ? undefined : await codec.encode(json, asStep(id, name))
    if (result) checkStepSize(name, result)
    return { id, run, name, memoryVersion, durationMs: Math.round(durationMs), result }
  }

  async #keep(step: NewStep, value: () => Promise<unknown>, returns: Returns): Promise<unknown> {
    const { recollection, remembering, frame } = this.#parts
    // It is checked before it is kept: a result that does not fit would fail every later run.
    const its = await value()
    const kept = await remembering.keep({ step, isOver: () => frame.isClosed })
    if (kept === 'kept') {
      recollection.add()
      return recollection.afterOthers(its)
    }
    if (kept === 'full') throw fullError()
    if (kept === 'refused') {
      throw new ErrandError(
        'E_STEP_RESULT',
        `the log cannot store the result of step '${step.name}': it holds half of a surrogate pair`,
      )
    }
    if (kept === 'claim-lost')
      this.#parts.claimLost(claimLostError('the log has given this job to another run'))
    if (kept !== 'already') return undefined
    const stored = await recollection.findAgain(step.name)
    return stored ? this.#read(stored, returns) : its
  }

  async #read(stored: StoredStep, returns: Returns): Promise<unknown> {
    const { codec, id } = this.#parts
    return parseStepJson(stored.name, returns, await readStepJson(codec, id, stored))
  }
}

function fullError(): ErrandError {
  return new ErrandError(
    'E_STEP_LIMIT',
    `the job remembers as much as it may: ${mostSteps} steps, or 4 MiB of results; call a batch of jobs for what is many, or go on in another job`,
  )
}
