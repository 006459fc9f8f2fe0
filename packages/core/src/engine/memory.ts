import type { Fence, WorkerRef } from '../job/claim.ts'
import { longestMemory, mostSteps } from '../job/memory.ts'
import type { NewStep, StoredStep, UnreadMessage } from '../job/memory.ts'
import { ErrandError } from '../errors.ts'
import type { Remembered } from '../ports/memory.ts'
import { withRow } from './damaged-row.ts'
import { holdsRun } from './holds-run.ts'
import { isStorable } from './storable.ts'
import type { JobStore } from './store.ts'

/** Stores steps of running jobs, each under its fence. */
export function remember(
  store: JobStore,
  now: number,
  steps: readonly NewStep[],
  by: WorkerRef,
): Remembered[] {
  return steps.map((step) => {
    if (store.contention?.jobIsLocked(step.id)) return 'again'
    const row = store.row(step.id)
    if (!row || !holdsRun(row, step, by)) return 'claim-lost'
    return withRow(store, row.id, () => rememberOne(store, now, step))
  })
}

/** @throws `E_CLAIM_LOST` if the fence does not match */
export function recall(store: JobStore, fence: Fence, name: string, by: WorkerRef): StoredStep | undefined {
  checkFence(store, fence, by)
  return store.step(fence.id, name)
}

/** Throws, so that the transaction rolls back, unless it stores the step. */
export function rememberInside(store: JobStore, now: number, step: NewStep, by: WorkerRef): void {
  checkFence(store, step, by)
  const { id, name } = step
  const answer = rememberOne(store, now, step)
  if (answer === 'already')
    throw new ErrandError(
      'E_CLAIM_LOST',
      `step ${name} of job ${id} was stored by another transaction; roll this one back`,
    )
  if (answer === 'full')
    throw new ErrandError(
      'E_STEP_LIMIT',
      `job ${id} has ${mostSteps} steps, or ${longestMemory} characters of results; split it into several jobs`,
    )
  if (answer === 'refused')
    throw new ErrandError(
      'E_STEP_RESULT',
      `the result of step ${name} of job ${id} holds a lone surrogate, which no log can store`,
    )
}

/** All that a job remembers, what it waits for last. And its unread messages. */
export function memoryOf(store: JobStore, job: string): { steps: StoredStep[]; messages: UnreadMessage[] } {
  return { steps: store.steps(job), messages: store.unread(job, undefined, Number.MAX_SAFE_INTEGER) }
}

function checkFence(store: JobStore, fence: Fence, by: WorkerRef): void {
  const row = store.row(fence.id)
  if (row && holdsRun(row, fence, by)) return
  throw new ErrandError(
    'E_CLAIM_LOST',
    `job ${fence.id} is no longer run ${fence.run} of this worker; roll the transaction back`,
  )
}

/** @param step of a run that holds its job */
function rememberOne(store: JobStore, now: number, step: NewStep): Remembered {
  const { id: job, run, name, memoryVersion, durationMs, result: body } = step
  if (store.step(job, name)) return 'already'
  if (body && !isStorable(body)) return 'refused'
  const { steps, characters, order } = store.stepTotals(job)
  if (steps >= mostSteps || characters + (body?.text.length ?? 0) > longestMemory) return 'full'
  store.saveStep({
    job,
    name,
    kind: 'step',
    order: order + 1,
    run,
    memoryVersion,
    at: now,
    durationMs,
    until: undefined,
    on: undefined,
    by: undefined,
    body,
    messageId: undefined,
  })
  return 'kept'
}
