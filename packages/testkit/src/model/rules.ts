import { isFinal, lanes } from '@errand/core/ports'
import type { EventType, JobState, NewJob, SettledOutcome } from '@errand/core/ports'
import { newModelJob } from './job.ts'
import type { ModelJob } from './job.ts'
import { ModelKeys } from './keys.ts'
import { findNeeds, judgeNeeds } from './needs.ts'

interface ModelWorker {
  readonly leaseMs: number
  readonly graceMs: number
  leaseUntil: number
  queues: readonly string[]
}

export type ModelSettled = 'settled' | 'already' | 'claim-lost'

/**
 * The rules of `docs/writing-a-job-log.md` a second time, in the simplest form: no indexes, no batches, no tables. They are
 * written from the page and not from any log, so that they and a log have different mistakes.
 */
export class LifecycleRules {
  now = 0
  readonly jobs: ModelJob[] = []
  readonly paused: Set<string> = new Set()
  readonly workers: Map<string, ModelWorker> = new Map()
  readonly #keys = new ModelKeys()
  #lastSweep: number | undefined
  #hold = 0

  find(id: string): ModelJob | undefined {
    return this.jobs.find(({ job }) => job.id === id)
  }

  append(job: NewJob): {
    readonly id: string
    readonly status: 'added' | 'duplicate'
    readonly state?: JobState
  } {
    if (this.find(job.id)) return { id: job.id, status: 'duplicate' }
    const held = this.#keys.uniqueHolder(job, this.now)
    if (held !== undefined) return { id: held, status: 'duplicate' }
    this.#keys.holdUnique(job)
    const runAt = job.due && 'delayMs' in job.due ? this.now + job.due.delayMs : this.now
    const added = newModelJob(job, this.jobs.length, this.now)
    added.needs.push(...findNeeds(job, this.jobs))
    this.jobs.push(added)
    this.#keys.take(added)
    if (runAt > this.now) this.#schedule(added, 'dispatched', runAt - this.now)
    else this.#enter(added, 'dispatched', this.#decide(added))
    this.#look(added)
    return { id: job.id, status: 'added', state: added.state }
  }

  /** The answer to a ticket of this job. */
  verdict(id: string, worker: string, request: string, granted: ReadonlySet<string>, max: number): string {
    const found = this.find(id)
    if (!found) return 'unknown'
    if (found.state === 'running') {
      const repeated = found.worker === worker && found.request === request && !granted.has(id)
      return repeated ? 'run' : 'busy'
    }
    if (isFinal(found.state)) return 'finished'
    if (found.state === 'blocked') return 'blocked'
    if (found.state === 'scheduled') return 'later'
    if (this.paused.has(found.queue)) return 'paused'
    if (!this.workers.get(worker)?.queues.includes(found.queue)) return 'elsewhere'
    return granted.size >= max ? 'again' : 'run'
  }

  hasLease(worker: string): boolean {
    const row = this.workers.get(worker)
    return row !== undefined && row.leaseUntil >= this.now
  }

  /** The jobs that a take gets, in the order of the answer. */
  pick(queue: string, max: number, fromLowest: number): ModelJob[] {
    if (this.paused.has(queue)) return []
    const rank = ({ lane }: ModelJob): number => lanes.indexOf(lane)
    const ready = this.jobs.filter((job) => job.state === 'ready' && job.queue === queue)
    const fromTop = ready.toSorted((a, b) => rank(a) - rank(b) || a.order - b.order)
    const fromBottom = ready.toSorted((a, b) => rank(b) - rank(a) || a.order - b.order)
    const lowest = fromBottom.slice(0, Math.min(fromLowest, max))
    const rest = fromTop.filter((job) => !lowest.includes(job)).slice(0, max - lowest.length)
    return fromTop.filter((job) => lowest.includes(job) || rest.includes(job))
  }

  grantedTo(worker: string, request: string): ModelJob[] {
    return this.jobs.filter(
      (job) => job.state === 'running' && job.worker === worker && job.request === request,
    )
  }

  start(found: ModelJob, worker: string, request: string): void {
    const { timeoutMs, unique } = found.job
    found.run += 1
    found.attempt += 1
    this.#enter(found, 'started', 'running')
    found.worker = worker
    found.request = request
    found.deadline =
      timeoutMs === null ? undefined : this.now + timeoutMs + (this.workers.get(worker)?.graceMs ?? 0)
    if (unique?.until === 'started') this.#keys.freeUnique(found, this.now, true)
  }

  settle(id: string, run: number, worker: string, outcome: SettledOutcome): ModelSettled {
    const found = this.find(id)
    if (!found) return 'claim-lost'
    if (found.state !== 'running' || found.run !== run || found.worker !== worker) {
      const ending = found.endings.get(run)
      if (ending?.worker === worker) {
        return outcome.kind === 'completed' && ending.event === 'succeeded' ? 'settled' : 'already'
      }
      if (!found.fenced.has(run)) {
        found.fenced.add(run)
        found.story.push('fenced')
      }
      return 'claim-lost'
    }
    found.streak = 0
    this.#end(found, outcome)
    found.endings.set(run, { worker, event: found.story.at(-1)! })
    return 'settled'
  }

  #end(found: ModelJob, outcome: SettledOutcome): void {
    if (outcome.kind === 'succeed') return this.#finish(found, 'succeeded')
    const isError = outcome.kind === 'error' || outcome.kind === 'completed'
    if (isError && (found.cancelling || outcome.retryInMs === undefined)) found.story.push('errored')
    if (found.cancelling) return this.#finish(found, 'cancelled')
    if (isError) {
      if (outcome.retryInMs === undefined) return this.#finish(found, 'failed')
      return this.#schedule(found, 'errored', outcome.retryInMs)
    }
    if (outcome.kind === 'fail') return this.#finish(found, 'failed')
    if (outcome.kind === 'cancel') return this.#finish(found, 'cancelled')
    if (outcome.kind === 'release' && outcome.begun && found.job.onCrash === 'fail')
      return this.#finish(found, 'failed')
    found.attempt -= 1
    if (outcome.kind === 'snooze') return this.#schedule(found, 'snoozed', outcome.delayMs)
    this.#enter(found, 'released', 'ready')
  }

  cancel(id: string): 'cancelled' | 'requested' | undefined {
    const found = this.find(id)
    if (!found || isFinal(found.state)) return undefined
    if (found.state !== 'running') {
      this.#finish(found, 'cancelled')
      return 'cancelled'
    }
    if (found.cancelling) return undefined
    found.cancelling = true
    found.story.push('cancel_requested')
    return 'requested'
  }

  replay(id: string): 'replayed' | 'duplicate' | 'unmet' | undefined {
    const found = this.find(id)
    if (!found || !isFinal(found.state)) return undefined
    if (judgeNeeds(found) === 'never') return 'unmet'
    const held = this.#keys.uniqueHolder(found.job, this.now)
    if (held !== undefined && held !== id) return 'duplicate'
    this.#keys.holdUnique(found.job)
    found.attempt = 0
    found.crashes = 0
    found.streak = 0
    found.cancelling = false
    this.#keys.take(found)
    this.#keys.takeOver(found, this.jobs)
    this.#enter(found, 'replayed', this.#decide(found))
    return 'replayed'
  }

  skip(id: string): boolean {
    const found = this.find(id)
    if (found?.state !== 'failed' || !this.#keys.isHolder(found)) return false
    found.story.push('skipped')
    this.#passKey(found)
    return true
  }

  /** Returns false if it is not allowed. */
  change(
    id: string,
    to: { readonly lane?: NewJob['lane']; readonly queue?: string; readonly runAt?: 'now' | number },
  ): boolean {
    const found = this.find(id)
    if (!found || found.state === 'running' || isFinal(found.state)) return false
    if (to.queue !== undefined && to.queue !== found.queue && found.job.ordering) return false
    found.lane = to.lane ?? found.lane
    found.queue = to.queue ?? found.queue
    let { state, runAt } = found
    if (to.runAt === 'now') {
      this.#keys.take(found)
      state = this.#decide(found)
      runAt = undefined
    } else if (to.runAt !== undefined) {
      state = 'scheduled'
      runAt = to.runAt
    }
    const { soon } = found
    this.#enter(found, 'changed', state)
    if (state === 'scheduled') found.runAt = runAt
    found.soon = to.runAt === undefined && soon
    return true
  }

  beat(worker: string, leaseMs: number, graceMs: number, queues: readonly string[]): ModelJob[] {
    this.workers.set(worker, { leaseMs, graceMs, leaseUntil: this.now + leaseMs, queues })
    return this.jobs.filter((job) => job.state === 'running' && job.worker === worker)
  }

  /** @param isDue decides about jobs whose time only the log knows exactly */
  sweep(isDue: (job: ModelJob) => boolean): void {
    const due = this.jobs.filter(
      (job) => job.state === 'scheduled' && (job.soon ? isDue(job) : job.runAt! <= this.now),
    )
    for (const job of due.toSorted((a, b) => a.runAt! - b.runAt! || a.order - b.order)) {
      this.#keys.take(job)
      this.#enter(job, 'due', this.#decide(job))
    }
    if (!this.#mayCallLost()) return
    for (const job of this.jobs.filter((running) => running.state === 'running')) {
      const late = job.deadline !== undefined && job.deadline < this.now
      if (late || !this.hasLease(job.worker!)) this.#lose(job)
    }
  }

  #mayCallLost(): boolean {
    const rows = [...this.workers.values()]
    const live = rows.filter(({ leaseUntil }) => leaseUntil >= this.now).map(({ leaseMs }) => leaseMs)
    const shortest = live.length > 0 ? Math.min(...live) : 30_000
    const longest = rows.length > 0 ? Math.max(...rows.map(({ leaseMs }) => leaseMs)) : 30_000
    if (this.#lastSweep === undefined || this.now - this.#lastSweep > shortest / 3)
      this.#hold = this.now + longest
    this.#lastSweep = this.now
    return this.now >= this.#hold
  }

  /** From here on sweeping counts as regular. */
  settleIn(): void {
    this.#lastSweep = this.now
    this.#hold = this.now
  }

  #lose(job: ModelJob): void {
    job.attempt -= 1
    job.crashes += 1
    job.streak += 1
    const dead = job.job.onCrash === 'fail' || job.crashes >= job.job.maxCrashes
    if (job.cancelling || dead) {
      job.story.push('lost')
      this.#finish(job, job.cancelling ? 'cancelled' : 'failed')
    } else if (job.streak === 1) this.#enter(job, 'lost', 'ready')
    else {
      this.#schedule(job, 'lost', Math.min(60_000, 1_000 * 2 ** (job.streak - 2)))
      job.soon = true
    }
  }

  #schedule(job: ModelJob, event: EventType, delayMs: number): void {
    this.#enter(job, event, 'scheduled')
    job.runAt = this.now + delayMs
  }

  #finish(job: ModelJob, end: 'succeeded' | 'failed' | 'cancelled'): void {
    this.#enter(job, end, end)
    this.#keys.freeUnique(job, this.now, end === 'succeeded')
    if (end !== 'failed' || job.job.ordering?.onFailure === 'skip') this.#passKey(job)
    for (const child of this.jobs) {
      const open = child.needs.filter(({ on, state }) => on === job.job.id && state === undefined)
      for (const need of open) need.state = end
      if (open.length > 0) this.#look(child)
    }
  }

  /** A job that waits may have what it needs now, or never. */
  #look(job: ModelJob): void {
    if (job.state !== 'blocked' && job.state !== 'scheduled') return
    if (judgeNeeds(job) === 'never') this.#finish(job, 'cancelled')
    else if (job.state === 'blocked' && this.#decide(job) === 'ready') this.#enter(job, 'unblocked', 'ready')
  }

  #decide(job: ModelJob): 'ready' | 'blocked' {
    return judgeNeeds(job) === 'met' ? this.#keys.decideTurn(job) : 'blocked'
  }

  #passKey(from: ModelJob): void {
    const next = this.#keys.pass(from, this.jobs)
    if (next?.state === 'blocked' && judgeNeeds(next) === 'met') this.#enter(next, 'unblocked', 'ready')
  }

  #enter(job: ModelJob, event: EventType, state: JobState): void {
    job.story.push(event)
    job.state = state
    job.runAt = undefined
    job.soon = false
    if (state === 'running') return
    job.worker = undefined
    job.request = undefined
    job.deadline = undefined
  }
}
