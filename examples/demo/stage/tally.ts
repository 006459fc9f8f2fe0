import type { JobEvent, Lane } from 'errand'

/** What the board needs to know of a job. */
export interface Known {
  readonly id: string
  readonly label: string
  readonly lane: Lane
  readonly key: string | undefined
}

export interface LaneCount {
  waiting: number
  running: number
  done: number
}

export interface Running {
  readonly id: string
  readonly label: string
  readonly worker: string
  readonly run: number
  /** By this process's clock. */
  readonly since: number
}

/** Everything that the board shows, only from the log's events. */
export class Tally {
  readonly lanes: Readonly<Record<Lane, LaneCount>> = {
    critical: { waiting: 0, running: 0, done: 0 },
    high: { waiting: 0, running: 0, done: 0 },
    normal: { waiting: 0, running: 0, done: 0 },
    low: { waiting: 0, running: 0, done: 0 },
  }
  readonly running = new Map<string, Running>()
  readonly doneBy = new Map<string, number>()
  readonly #startedBy = new Map<string, number>()
  /** When this process heard of each success, in milliseconds of `performance.now()`. */
  readonly successes: number[] = []
  events = 0
  lost = 0

  readonly #known = new Map<string, Known>()

  get done(): number {
    return this.successes.length
  }

  get waiting(): number {
    return Object.values(this.lanes).reduce((sum, { waiting }) => sum + waiting, 0)
  }

  waitingBelow(lane: Lane): number {
    return this.waiting - this.lanes[lane].waiting
  }

  /** A job has been dispatched: from here on its events are counted. */
  expect(job: Known): void {
    this.#known.set(job.id, job)
    this.lanes[job.lane].waiting += 1
  }

  known(id: string): Known | undefined {
    return this.#known.get(id)
  }

  get jobs(): IterableIterator<Known> {
    return this.#known.values()
  }

  apply(event: JobEvent, now: number): void {
    const job = this.#known.get(event.jobId)
    if (!job) return
    this.events += 1
    const lane = this.lanes[job.lane]
    if (event.type === 'started') {
      const { worker, run } = event
      lane.waiting -= 1
      lane.running += 1
      this.#startedBy.set(worker, this.startedBy(worker) + 1)
      this.running.set(job.id, { id: job.id, label: job.label, worker, run, since: now })
      return
    }
    const run = this.running.get(job.id)
    if (!run || event.type === 'progressed' || event.type === 'cancel_requested' || event.type === 'fenced')
      return
    this.running.delete(job.id)
    lane.running -= 1
    if (event.type === 'lost') this.lost += 1
    if (event.type === 'succeeded') {
      lane.done += 1
      this.successes.push(now)
      this.doneBy.set(run.worker, (this.doneBy.get(run.worker) ?? 0) + 1)
    } else lane.waiting += 1
  }

  /** Runs that this worker of the log has begun. */
  startedBy(worker: string): number {
    return this.#startedBy.get(worker) ?? 0
  }

  runningOn(worker: string): Running[] {
    return [...this.running.values()].filter((run) => run.worker === worker)
  }

  /** Successes in the last `ms` milliseconds, per second. */
  throughput(now: number, ms: number): number {
    const from = now - ms
    let count = 0
    for (let at = this.successes.length - 1; at >= 0 && (this.successes[at] ?? 0) >= from; at -= 1) count += 1
    return (count * 1000) / ms
  }
}
