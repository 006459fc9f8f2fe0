import type { Maybe } from '../../define/handler.ts'
import type { ResolvedWorker } from '../../define/worker.ts'
import type { Claim, WorkerRef } from '../../job/claim.ts'
import type { Settled, SettledOutcome } from '../../job/outcome.ts'
import type { QueueName } from '../../job/ticket.ts'
import type { ReleaseReason } from '../../job/release.ts'
import { Attempt } from './attempt.ts'
import type { Attempted, AttemptParts } from './attempt.ts'
import type { WorkerDeps } from '../deps.ts'
import type { Beats } from './beats.ts'
import { encode, mayEnd, mayFail, notBegun, pickCause, pickDelay, toEnded, toOutcome } from './ending.ts'
import type { HookRunner } from './hooks.ts'
import type { ProgressReports } from './progress.ts'
import { observedRun } from './observed-run.ts'
import { reportEnd } from './report.ts'
import type { Runs } from './runs.ts'
import type { Settler } from './settler.ts'
import type { Granted, Slot, SlotSource } from './slot.ts'
import { isObserved } from '../../telemetry/channels.ts'
import { aloneFromCrashes } from './exclusive-run.ts'
import type { ExclusiveRun } from './exclusive-run.ts'
import type { OutcomeCounts } from './outcome-counts.ts'
import type { Remembering } from '../steps/remembering.ts'

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
  readonly remembering: Remembering
  readonly stopping: AbortSignal
  /** A job of this worker is due again in this many milliseconds. */
  readonly dueIn: (ms: number) => void
  /** A job of this queue has ended here, or went back. */
  readonly placeFree: (queue: QueueName) => void
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
    const { worker, hooks, ref, stopping, deps, progress, remembering } = parts
    this.#parts = parts
    this.#attempts = {
      middleware: worker.middleware,
      hooks,
      ref,
      stopping,
      deps,
      remembering,
      progress,
    }
  }

  /** Runs a claim when its slot is free. Without room for it, it goes back. */
  start(claim: Claim, slots: SlotSource): void {
    const { worker, runs, isDisowned } = this.#parts
    if (isDisowned(claim)) return
    const run = new Attempt(claim, worker.handlers.get(claim.job.name), this.#attempts)
    runs.add(run)
    if (slots.start(new GrantedRun(run, this))) return
    runs.delete(run)
    void this.release(claim, 'no-slot')
  }

  /** Gives back a run that got no slot. */
  giveBack(run: Attempt): void {
    const { runs, stopping } = this.#parts
    run.ended = true
    const why = stopping.aborted ? 'shutdown' : 'ahead'
    void this.release(run.claim, why).then(() => runs.delete(run))
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
      this.#parts.placeFree(claim.job.queue)
    } catch (error) {
      deps.logger.error({ job: claim.id, err: error }, 'a job could not be given back')
    }
  }

  /** Runs a job in its slot, and records its end. Never rejects. */
  async begin(run: Attempt, slot: Slot): Promise<void> {
    try {
      const isSuspect = run.claim.crashes >= aloneFromCrashes
      // Always awaited: otherwise jobs that end at once would all run before the next ones are asked for.
      const attempted = await (isSuspect ? this.#attemptAlone(run) : this.#attempt(run))
      run.ended = true
      this.#parts.runs.busy(run, undefined)
      if (typeof attempted === 'string') {
        slot.giveBackUnbegun()
        await this.release(run.claim, attempted)
      } else {
        const settled = await this.#record(run, attempted, slot)
        const following = this.#recorded(run, attempted, settled)
        if (following) await following
      }
    } catch (error) {
      // Happens only when the worker gave up waiting for the log: the sweep decides about what the log did not hear of.
      this.#parts.deps.logger.error(
        { job: run.claim.id, err: error },
        'the end of a run could not be recorded',
      )
    } finally {
      this.#parts.runs.delete(run)
      slot.giveBack()
    }
  }

  #record(run: Attempt, attempted: Attempted, slot: Slot): Promise<Settled> {
    const { settler, deps, progress } = this.#parts
    const { claim } = run
    if (attempted.leftBehind) this.#leftBehind(claim, attempted.leftBehind, slot)
    // The slot is free for the next job while this end is recorded, unless hooks still follow or recording is slow:
    // one round of outcomes may be under way, and one more may wait for it.
    if (!this.#isFollowed(attempted) && settler.waiting < slot.backlog) slot.giveBack()
    // Progress goes first: the log takes it for running jobs only.
    if (run.sealing || progress.isUntold(claim)) return this.#recordLater(run, attempted, slot)
    const encoding = encode(deps.codec, claim, attempted.decision, attempted.json)
    return encoding instanceof Promise
      ? encoding.then((outcome) => this.#settle(run, attempted, outcome, slot))
      : this.#settle(run, attempted, encoding, slot)
  }

  async #recordLater(run: Attempt, attempted: Attempted, slot: Slot): Promise<Settled> {
    const { deps, progress } = this.#parts
    await run.sealing
    if (progress.isUntold(run.claim)) await progress.tell(run.claim)
    const outcome = await encode(deps.codec, run.claim, attempted.decision, attempted.json)
    return this.#settle(run, attempted, outcome, slot)
  }

  #settle(run: Attempt, { durationMs }: Attempted, outcome: SettledOutcome, slot: Slot): Promise<Settled> {
    const { id, run: number, job } = run.claim
    const passesOn = job.orderingKey !== undefined && mayEnd(outcome)
    const recording = this.#parts.settler.settle(
      { id, run: number, durationMs, outcome },
      passesOn ? job.queue : undefined,
    )
    return slot.isTaken ? slot.untilRecorded(recording) : recording
  }

  #recorded(run: Attempt, attempted: Attempted, settled: Settled): Maybe<void> {
    const { outcomeCounts, deps, dueIn, placeFree } = this.#parts
    const { decision } = attempted
    outcomeCounts.add(toOutcome(settled))
    placeFree(run.claim.job.queue)
    if (settled.event !== 'succeeded') reportEnd(deps, run.claim, decision, settled)
    // A sleep is longer than the time between two sweeps, and they tell when it is over.
    if (settled.state === 'scheduled') dueIn(pickDelay(decision))
    // A result that cannot be stored may fail a job that has succeeded.
    if (this.#isFollowed(attempted) || settled.event === 'failed')
      return this.#follow(run, attempted, settled)
  }

  #isFollowed({ decision }: Attempted): boolean {
    return this.#parts.hooks.followsRuns || mayFail(decision)
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

  async #follow(run: Attempt, attempted: Attempted, settled: Settled): Promise<void> {
    const { hooks, ref, worker } = this.#parts
    const { decision, durationMs } = attempted
    const { claim, view: job } = run
    const ended = toEnded(decision, attempted.result, settled)
    await hooks.after({ job, attempt: claim.attempt, worker: ref.id, durationMs, ...ended })
    if (ended.outcome !== 'failed') return
    const handler = worker.handlers.get(job.name)
    await hooks.failing({ job, error: ended.error, cause: pickCause(decision) }, handler, run.parsed)
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

/** A run that waits for its slot. */
class GrantedRun implements Granted {
  readonly #run: Attempt
  readonly #runner: Runner

  constructor(run: Attempt, runner: Runner) {
    this.#run = run
    this.#runner = runner
  }

  begin(slot: Slot): void {
    void this.#runner.begin(this.#run, slot)
  }

  giveBack(): void {
    this.#runner.giveBack(this.#run)
  }
}
