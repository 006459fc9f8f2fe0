import { randomBytes, randomUUID } from 'node:crypto'
import { expect, onTestFinished } from 'vitest'
import type {
  BeatReply,
  BeatReport,
  Claim,
  EventRecord,
  JobLog,
  JobRecord,
  Logger,
  NewJob,
  QueueName,
  Settled,
  SettledOutcome,
  StoredEventType,
  StoredState,
  SweepOptions,
  SweepReport,
  Ticket,
  Transaction,
  WorkerRef,
} from '@errand/core/ports'
import { newJob, outcomes, recorded, settlement, workerRef } from '../fixtures.ts'
import { realPause, until } from '../until.ts'
import type { LogUnderTest } from './harness.ts'

interface SceneTransaction {
  readonly tx: Transaction
  readonly commit: () => Promise<void>
  readonly rollback: () => Promise<void>
}

type JobLike = string | { readonly id: string }
const toId = (job: JobLike): string => (typeof job === 'string' ? job : job.id)

/** One virtual step while a test waits. Shorter than a third of every lease, so that sweeps have no gap. */
const stepMs = 10

const advancing = new WeakMap<LogUnderTest, Promise<void>>()

/** What a story about a job log needs: its own queue and job name, and short methods for what stories do. */
export class Scene {
  readonly log: JobLog
  readonly logId: string
  readonly queue: QueueName
  readonly jobName: string
  readonly #opened: LogUnderTest
  readonly #workers: WorkerRef[] = []
  readonly #others: JobLog[] = []
  readonly #queues = new Set<QueueName>()

  private constructor(opened: LogUnderTest, logId: string) {
    const name = randomBytes(5).toString('hex')
    this.#opened = opened
    this.log = opened.log
    this.logId = logId
    this.queue = `queue-${name}`
    this.jobName = `job-${name}`
    this.#queues.add(this.queue)
  }

  static async begin(opened: LogUnderTest): Promise<Scene> {
    const { logId } = await opened.log.connect()
    const scene = new Scene(opened, logId)
    await scene.#sweepRegularly()
    return scene
  }

  /**
   * After a gap in sweeping nothing is called lost for the longest lease. Here the only lease is one millisecond, so sweeping
   * becomes regular at once, before stories begin with leases of their own.
   */
  async #sweepRegularly(): Promise<void> {
    const brief = workerRef({ leaseMs: 1 })
    await this.log.beat(brief, { queues: [], taking: false, progress: [] })
    await this.sweep()
    await this.log.leave(brief)
    if (this.#opened.advance) await this.#advance(2)
  }

  /** Every worker of this scene leaves, so that the next scene finds no leases. Closes what only this scene opened. */
  async end(): Promise<void> {
    for (const worker of this.#workers) await this.log.leave(worker).catch(() => {})
    await Promise.all(this.#others.map((log) => log.close()))
  }

  async another(logger?: Logger): Promise<JobLog> {
    const log = await this.#opened.another(logger)
    this.#others.push(log)
    return log
  }

  /** Changes the job's row so that no rule can work with it. */
  async damage(job: JobLike): Promise<void> {
    if (!this.#opened.damage) throw new Error('this log is under test without damaged rows')
    await this.#opened.damage(toId(job))
  }

  /** Writes what a newer build might have written about the job. */
  async freeze(job: JobLike): Promise<void> {
    if (!this.#opened.freeze) throw new Error('this log is under test without newer builds')
    await this.#opened.freeze(toId(job))
  }

  /** A transaction of the application. It is rolled back at the end of the test if it is still open. */
  async begin(): Promise<SceneTransaction> {
    if (!this.#opened.begin) throw new Error('this log is under test without transactions')
    const open = await this.#opened.begin()
    let over = false
    const end = (how: () => Promise<void>) => async (): Promise<void> => {
      if (over) return
      over = true
      await how()
    }
    const rollback = end(() => open.rollback())
    onTestFinished(rollback)
    return { tx: open.tx, commit: end(() => open.commit()), rollback }
  }

  newQueue(): QueueName {
    const queue = `queue-${randomBytes(5).toString('hex')}`
    this.#queues.add(queue)
    return queue
  }

  newJob(overrides: Partial<NewJob> = {}): NewJob {
    return newJob({ queue: this.queue, name: this.jobName, ...overrides })
  }

  /** Appends one job, which must be added. */
  async add(overrides: Partial<NewJob> = {}): Promise<NewJob> {
    const [job] = await this.addAll([overrides])
    return job!
  }

  async addAll(jobs: readonly Partial<NewJob>[]): Promise<NewJob[]> {
    const made = jobs.map((job) => this.newJob(job))
    const appended = await this.log.append(made)
    expect(appended.map(({ status }) => status)).toEqual(made.map(() => 'added'))
    return made
  }

  ticket(job: { readonly id: string; readonly queue?: QueueName; readonly lane?: NewJob['lane'] }): Ticket {
    return { id: job.id, queue: job.queue ?? this.queue, lane: job.lane ?? 'normal', log: this.logId }
  }

  /** A worker that has beaten once and serves this scene's queue, or those given. */
  async worker(
    overrides: Partial<WorkerRef> = {},
    queues: readonly QueueName[] = [this.queue],
  ): Promise<WorkerRef> {
    const worker = workerRef(overrides)
    this.#workers.push(worker)
    await this.beat(worker, { queues })
    return worker
  }

  beat(worker: WorkerRef, report: Partial<BeatReport> = {}): Promise<BeatReply> {
    return this.log.beat(worker, { queues: [this.queue], taking: true, progress: [], ...report })
  }

  /** Claims one job by its ticket; the log must grant it. */
  async claim(worker: WorkerRef, job: { readonly id: string }): Promise<Claim> {
    const [verdict] = await this.log.claim([this.ticket(job)], 1, worker, randomUUID())
    if (verdict?.verdict !== 'run') throw new Error(`expected a claim, got ${JSON.stringify(verdict)}`)
    return verdict.claim
  }

  /** The log's answer to a ticket of the job: `run`, or why not. */
  async verdict(worker: WorkerRef, job: { readonly id: string }): Promise<string> {
    const [verdict] = await this.log.claim([this.ticket(job)], 1, worker, randomUUID())
    return verdict?.verdict === 'drop' ? verdict.why : String(verdict?.verdict)
  }

  take(worker: WorkerRef, max = 100): Promise<readonly Claim[]> {
    return this.log.take([this.queue], max, worker, randomUUID())
  }

  /** A job that a worker is running. */
  async start(
    overrides: Partial<NewJob> = {},
    by?: WorkerRef,
  ): Promise<{ job: NewJob; worker: WorkerRef; claim: Claim }> {
    const worker = by ?? (await this.worker())
    const job = await this.add(overrides)
    return { job, worker, claim: await this.claim(worker, job) }
  }

  async settle(
    worker: WorkerRef,
    claim: { readonly id: string; readonly run: number },
    outcome: SettledOutcome,
  ): Promise<Settled> {
    const [settled] = recorded(await this.log.settle([settlement(claim, outcome)], worker))
    if (!settled) throw new Error('the log gave no answer to a settlement')
    return settled
  }

  /** A job that ran once and ended with this outcome. */
  async ended(outcome: SettledOutcome, overrides: Partial<NewJob> = {}, by?: WorkerRef): Promise<NewJob> {
    const { job, worker, claim } = await this.start(overrides, by)
    expect(await this.settle(worker, claim, outcome)).toMatchObject({ result: 'settled' })
    return job
  }

  /** Claims and succeeds a job that is ready. */
  async finish(worker: WorkerRef, job: { readonly id: string }): Promise<Settled> {
    return this.settle(worker, await this.claim(worker, job), outcomes.succeed())
  }

  async record(job: JobLike): Promise<JobRecord> {
    const record = await this.log.get(toId(job))
    if (!record) throw new Error(`the log has no job ${toId(job)}`)
    return record
  }

  async state(job: JobLike): Promise<StoredState | undefined> {
    return (await this.log.get(toId(job)))?.state
  }

  states(jobs: readonly JobLike[]): Promise<(StoredState | undefined)[]> {
    return Promise.all(jobs.map((job) => this.state(job)))
  }

  events(job: JobLike): Promise<readonly EventRecord[]> {
    return this.log.readHistory(toId(job))
  }

  async lastEvent(job: JobLike): Promise<EventRecord> {
    const last = (await this.events(job)).at(-1)
    if (!last) throw new Error(`job ${toId(job)} has no events`)
    return last
  }

  /** The types of a job's events, in order. */
  async story(job: JobLike): Promise<StoredEventType[]> {
    return (await this.events(job)).map((event) => event.type)
  }

  /**
   * Sweeps until a sweep really ran, because another relay's may be under way. The report lists only jobs of this scene's
   * queues; `lost`, `full` and `nextDueInMs` are those of the whole log.
   */
  async sweep(options: Partial<SweepOptions> = {}): Promise<SweepReport> {
    const report = await until(async () => {
      const swept = await this.log.sweep({
        limit: 500,
        republish: false,
        queues: [...this.#queues],
        skipQueues: [],
        ...options,
      })
      return swept.ran && swept
    })
    return {
      ...report,
      tickets: report.tickets.filter(({ queue }) => this.#queues.has(queue)),
      republished: report.republished.filter(({ queue }) => this.#queues.has(queue)),
      failed: report.failed.filter(({ job }) => this.#queues.has(job.queue)),
    }
  }

  /** Sweeps until the condition holds. Returns what these sweeps reported. */
  async sweepUntil(
    look: () => unknown,
    options: Partial<SweepOptions> = {},
  ): Promise<Pick<SweepReport, 'tickets' | 'failed'>> {
    const reports: SweepReport[] = []
    await this.until(async () => {
      reports.push(await this.sweep(options))
      return Boolean(await look())
    }, String(look))
    return {
      tickets: reports.flatMap(({ tickets }) => tickets),
      failed: reports.flatMap(({ failed }) => failed),
    }
  }

  /** The worker ends without settling its runs, and the next sweeps call them lost. */
  async vanish(worker: WorkerRef): Promise<void> {
    await this.log.leave(worker)
  }

  /** Runs the job on a worker that vanishes, and sweeps until that run is called lost. */
  async lose(job: { readonly id: string }): Promise<void> {
    const worker = await this.worker()
    const { run } = await this.claim(worker, job)
    await this.vanish(worker)
    await this.sweepUntil(async () =>
      (await this.events(job)).some((event) => event.type === 'lost' && event.run === run),
    )
  }

  /** Waits until it holds. The log's time goes on while it waits, by itself or in small steps. */
  until<T>(look: () => T | Promise<T>, what?: string): Promise<Exclude<T, undefined | null | false | void>> {
    return until(look, { what, pause: () => this.#moment() })
  }

  async #moment(): Promise<void> {
    if (this.#opened.advance) await this.#advance(stepMs)
    await realPause(this.#opened.advance ? 0 : stepMs)
  }

  /** Moves the clock, one call after another: several waits must not move it at the same time. */
  #advance(ms: number): Promise<void> {
    const before = advancing.get(this.#opened) ?? Promise.resolve()
    const now = before.then(() => this.#opened.advance?.(ms))
    advancing.set(
      this.#opened,
      now.catch(() => {}),
    )
    return now
  }

  /** Lets this many milliseconds pass on the log's clock: it moves the clock if it can, else it waits. Only for short times. */
  async pass(ms: number): Promise<void> {
    if (this.#opened.advance) await this.#advance(ms)
    else {
      const since = await this.now()
      await until(async () => (await this.now()) >= since + ms)
    }
  }

  /** Moves the clock far ahead. Only for tests that require `capabilities.advance`. */
  async jump(ms: number): Promise<void> {
    if (!this.#opened.advance) throw new Error("this log's clock cannot be moved")
    await this.#advance(ms)
  }

  /** The log's own time, as a heartbeat shows it. */
  async now(): Promise<number> {
    const clockReader = workerRef({ leaseMs: 1 })
    await this.log.beat(clockReader, { queues: [], taking: false, progress: [] })
    const seen = (await this.log.workers()).find((worker) => worker.id === clockReader.id)
    await this.log.leave(clockReader)
    if (!seen) throw new Error('a worker that has beaten is not listed')
    return seen.lastSeen
  }
}
