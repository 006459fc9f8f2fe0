import type { Maybe } from '../../define/handler.ts'
import type { ResolvedWorker } from '../../define/worker.ts'
import type { Claim, WorkerRef } from '../../job/claim.ts'
import type { Settled } from '../../job/outcome.ts'
import type { ReleaseReason } from '../../job/release.ts'
import { Attempt } from './attempt.ts'
import type { Attempted, AttemptParts } from './attempt.ts'
import type { WorkerDeps } from '../deps.ts'
import type { Beats } from './beats.ts'
import { encode, mayFail, notBegun, pickCause, pickDelay, toEnded, toOutcome } from './ending.ts'
import type { HookRunner } from './hooks.ts'
import type { ProgressReports } from './progress.ts'
import { observedRun } from './observed-run.ts'
import { reportEnd } from './report.ts'
import type { Runs } from './runs.ts'
import type { Settler } from './settler.ts'
import type { Slot, SlotSource } from './slot.ts'
import { isObserved } from '../../telemetry/channels.ts'
import { aloneFromCrashes } from './exclusive-run.ts'
import type { ExclusiveRun } from './exclusive-run.ts'
import type { OutcomeCounts } from './outcome-counts.ts'

export interface RunnerParts {
  readonly worker: ResolvedWorker
  readonly ref: WorkerRef
  readonly deps: WorkerDeps
  readonly hooks: HookRunner
  readonly settler: Settler
  readonly runs: Runs
  readonly exclusive: ExclusiveRun
  readonly outcomeCounts: OutcomeCounts
  readonly beats: Beats
  readonly progress: ProgressReports
  readonly stopping: AbortSignal
  /** A job of this worker is due again in this many milliseconds. */
  readonly dueIn: (ms: number) => void
  /** It was given back before its grant arrived. */
  readonly isDisowned: (claim: Claim) => boolean
  /** The handlers that never ended have taken all slots of a pool. */
  readonly exhausted: (why: string) => void
}

/** Brings a claim from its grant to its recorded end. */
export class Runner {
  readonly #parts: RunnerParts
  readonly #attempts: AttemptParts

  constructor(parts: RunnerParts) {
    const { worker, hooks, ref, stopping, deps, progress } = parts
    this.#parts = parts
    this.#attempts = {
      middleware: worker.middleware,
      hooks,
      ref,
      stopping,
      deps,
      progress,
    }
  }

  /** Runs a claim when its slot is free. Without room for it, it goes back. */
  start(claim: Claim, slots: SlotSource): void {
    const { worker, deps, runs, stopping, isDisowned } = this.#parts
    if (isDisowned(claim)) return
    const attempt = new Attempt(claim, worker.handlers.get(claim.job.name), this.#attempts)
    runs.add(attempt)
    const hasRoom = slots.start({
      begin: (slot) => {
        void this.#run(attempt, slot).catch((error: unknown) => {
          // Happens only when the worker gave up waiting for the log: the sweep decides about what the log did not hear
          // of.
          deps.logger.error({ job: claim.id, err: error }, 'the end of a run could not be recorded')
        })
      },
      giveBack: () => {
        attempt.ended = true
        const why = stopping.aborted ? 'shutdown' : 'ahead'
        void this.release(claim, why).then(() => runs.delete(attempt))
      },
    })
    if (hasRoom) return
    runs.delete(attempt)
    void this.release(claim, 'no-slot')
  }

  /** Gives back a claim that has not begun. Resolves when the log has it. Never rejects. */
  async release(claim: Claim, why: ReleaseReason): Promise<void> {
    const { settler, deps } = this.#parts
    const { id, run } = claim
    try {
      const decision = notBegun(why)
      const outcome = await encode(deps.codec, claim, decision, undefined)
      const settled = await settler.settle({ id, run, durationMs: 0, outcome })
      reportEnd(deps, claim, decision, settled)
    } catch (error) {
      deps.logger.error({ job: claim.id, err: error }, 'a job could not be given back')
    }
  }

  async #run(run: Attempt, slot: Slot): Promise<void> {
    const { hooks, runs, settler, deps, progress } = this.#parts
    const { claim } = run
    try {
      const isSuspect = claim.crashes >= aloneFromCrashes
      // Always awaited: otherwise jobs that end at once would all run before the next ones are asked for.
      const attempted = await (isSuspect ? this.#attemptAlone(run) : this.#attempt(run))
      run.ended = true
      runs.busy(run, undefined)
      if (typeof attempted === 'string') {
        slot.giveBackUnbegun()
        await this.release(claim, attempted)
        return
      }
      if (attempted.leftBehind) this.#leftBehind(claim, attempted.leftBehind, slot)
      // The slot is free for the next job while this end is recorded, unless hooks still follow or recording is slow:
      // one round of outcomes may be under way, and one more may wait for it.
      const followed = hooks.followsRuns || mayFail(attempted.decision)
      if (!followed && settler.waiting < slot.backlog) slot.giveBack()
      if (run.sealing) await run.sealing
      // Progress goes first: the log takes it for running jobs only.
      if (progress.isUntold(claim)) await progress.tell(claim)
      const encoding = encode(deps.codec, claim, attempted.decision, attempted.json)
      const outcome = encoding instanceof Promise ? await encoding : encoding
      const { durationMs } = attempted
      const recording = settler.settle({ id: claim.id, run: claim.run, durationMs, outcome })
      const settled = await (slot.isTaken ? slot.untilRecorded(recording) : recording)
      this.#parts.outcomeCounts.add(toOutcome(settled))
      if (settled.event !== 'succeeded') reportEnd(deps, claim, attempted.decision, settled)
      if (settled.state === 'scheduled') this.#parts.dueIn(pickDelay(attempted.decision))
      // A result that cannot be stored may fail a job that has succeeded.
      if (followed || settled.event === 'failed') await this.#follow(claim, attempted, settled)
    } finally {
      runs.delete(run)
      slot.giveBack()
    }
  }

  /** Returns the reason if the run must not begin. */
  #attempt(run: Attempt): Maybe<Attempted> | ReleaseReason {
    const { stopping, beats, runs } = this.#parts
    if (stopping.aborted) return 'shutdown'
    if (beats.leaseLeftMs() <= 0) return 'lease-out'
    runs.busy(run, run.deadlineMs)
    return isObserved('run') ? observedRun(run, this.#parts.ref.id) : run.run()
  }

  /** Like `#attempt`, while nothing else runs. */
  async #attemptAlone(run: Attempt): Promise<Attempted | ReleaseReason> {
    const { exclusive, stopping, ref } = this.#parts
    const { timeoutMs } = run.claim
    // The wait takes time from the run: the log's deadline counts from the claim.
    const spareMs = timeoutMs === null ? Number.POSITIVE_INFINITY : Math.max(ref.graceMs, timeoutMs) / 2
    if (!(await exclusive.enter(run, spareMs, stopping))) return stopping.aborted ? 'shutdown' : 'not-alone'
    try {
      return await this.#attempt(run)
    } finally {
      exclusive.leave(run)
    }
  }

  async #follow(claim: Claim, attempted: Attempted, settled: Settled): Promise<void> {
    const { hooks, ref, worker } = this.#parts
    const { decision, job, durationMs } = attempted
    const ended = toEnded(decision, attempted.result, settled)
    await hooks.after({ job, attempt: claim.attempt, worker: ref.id, durationMs, ...ended })
    if (ended.outcome !== 'failed') return
    const handler = worker.handlers.get(job.name)
    await hooks.failing({ job, error: ended.error, cause: pickCause(decision) }, handler, attempted.parsed)
  }

  /**
   * A handler that did not end within its grace goes on without a slot. With too many of them, the pool has no slots
   * left.
   */
  #leftBehind(claim: Claim, end: Promise<unknown>, slot: Slot): void {
    const { deps, exhausted, stopping } = this.#parts
    const { id, job } = claim
    const { count, isAll } = slot.abandon(end)
    deps.logger.error(
      { job: id, jobName: job.name, count },
      'a handler ignored its abort signal and goes on; its result will not count',
    )
    if (isAll && !stopping.aborted) {
      exhausted(`${count} handlers ignored their abort signals and never ended; they hold all slots`)
    }
  }
}
