import type { JobRow, JobStore, LogFacts, NewEvent, StoredEvent, UniqueRow, WorkerRow } from './store.ts'
import type { LimitKeyRow, LimitRow } from './store.ts'
import { MemoryFlows } from './memory-flows.ts'
import type { QueueKey } from '../job/claim.ts'
import type { NewJob, StoredJob } from '../job/job.ts'
import { laneRank } from '../job/lane.ts'
import type { Lane } from '../job/lane.ts'
import { isFinal } from '../job/state.ts'
import type { FinalState, JobState } from '../job/state.ts'
import type { QueueName } from '../job/ticket.ts'
import type { Encoded } from '../ports/codec.ts'
import type { JobFilter, Unfinished } from '../ports/history.ts'
import type { LimitPlace } from '../ports/limits.ts'
import { mostWaitingCounted } from '../ports/operations.ts'
import type { KnownSchedules } from '../ports/schedules.ts'
import type { QueueLimit } from '../ports/operations.ts'
import type { DueSchedule, HeldQueue, QueueCounts, ScheduleRow, Turns } from './store.ts'

type Payload = Pick<NewJob, 'payload' | 'payloadVersion' | 'meta' | 'parentId'>

const toKey = (...parts: readonly string[]): string => JSON.stringify(parts)
const byRank = (a: JobRow, b: JobRow): number =>
  laneRank[a.lane] - laneRank[b.lane] || a.sequence - b.sequence
const sound = (count: unknown): number => (Number.isSafeInteger(count) ? Number(count) : 0)
const waitsForTime = ({ state, runAt }: JobRow): boolean =>
  state === 'scheduled' || (state === 'suspended' && runAt !== undefined)
const byTurn = (a: JobRow, b: JobRow): number => (a.turn ?? 0) - (b.turn ?? 0) || a.sequence - b.sequence
const bySequence = (a: JobRow, b: JobRow): number => a.sequence - b.sequence

/** The reference store: plain maps, every question a scan. Small enough to be read in one sitting. */
export class MemoryStore extends MemoryFlows implements JobStore {
  #facts: LogFacts
  #sequence = 0
  readonly #rows = new Map<string, JobRow>()
  /** The part of the rows that is not final, so that finished jobs cost the scans nothing. */
  readonly #live = new Map<string, JobRow>()
  readonly #payloads = new Map<string, Payload>()
  readonly #events: StoredEvent[] = []
  #position = 0
  readonly #eventsOf = new Map<string, StoredEvent[]>()
  readonly #holders = new Map<string, QueueKey & { id: string }>()
  readonly #uniques = new Map<string, UniqueRow>()
  readonly #workers = new Map<string, WorkerRow>()
  readonly #held = new Map<QueueName, HeldQueue>()
  readonly #schedules = new Map<string, ScheduleRow>()
  readonly #limits = new Map<string, LimitRow>()
  readonly #limitKeys = new Map<string, LimitKeyRow>()

  constructor(logId: string) {
    super()
    this.#facts = { logId, epoch: 1, lastSweepAt: undefined, holdUntil: undefined, transfer: undefined }
  }

  facts(): LogFacts {
    return this.#facts
  }
  saveFacts(facts: LogFacts): void {
    this.#facts = facts
  }

  row(id: string): JobRow | undefined {
    return this.#rows.get(id)
  }
  unfinished(ids: readonly string[]): Unfinished[] {
    return ids.flatMap((id) => {
      const row = this.#rows.get(id)
      return row === undefined || isFinal(row.state) ? [] : [{ id, version: row.version }]
    })
  }
  stored(row: JobRow): StoredJob {
    const payload = this.#payloads.get(row.id)
    if (!payload) throw new RangeError(`no payload of job ${row.id}`)
    const { id, name, queue, lane, tags, orderingKey, dispatchedAt } = row
    return { id, name, queue, lane, tags, orderingKey, dispatchedAt, parentId: undefined, ...payload }
  }
  /** A row as it is, without its payload. */
  load(row: JobRow): void {
    this.#rows.set(row.id, row)
    this.update(row)
  }
  insert(row: Omit<JobRow, 'sequence'>, job: NewJob): JobRow {
    const inserted = { ...row, sequence: ++this.#sequence }
    const { payload, payloadVersion, meta, parentId } = job
    this.#rows.set(row.id, inserted)
    this.update(inserted)
    this.#payloads.set(row.id, { payload, payloadVersion, meta, parentId })
    return inserted
  }
  update(row: JobRow): void {
    if (isFinal(row.state)) this.#live.delete(row.id)
    else this.#live.set(row.id, row)
  }
  savePayload(id: string, payload: Encoded): void {
    const old = this.#payloads.get(id)
    if (old) this.#payloads.set(id, { ...old, payload })
  }
  remove(id: string): void {
    this.#rows.delete(id)
    this.#live.delete(id)
    this.#payloads.delete(id)
  }

  stateOf(id: string): JobState | undefined {
    return this.#rows.get(id)?.state
  }

  mend(id: string): JobRow | undefined {
    const row = this.#rows.get(id)
    if (!row) return undefined
    const last = this.#eventsOf.get(id)?.at(-1)
    // The rules change the rows themselves, and nothing rolls back what they had begun. The last event has the old state.
    return Object.assign(row, {
      run: sound(row.run),
      attempt: sound(row.attempt),
      publishes: sound(row.publishes),
      replays: sound(row.replays),
      maxAttempts: sound(row.maxAttempts),
      maxCrashes: sound(row.maxCrashes),
      timeoutMs: row.timeoutMs === null ? null : sound(row.timeoutMs),
      version: last?.version ?? 0,
      state: last?.state ?? row.state,
    })
  }
  isRefusedData(): boolean {
    return true
  }

  #where(matches: (row: JobRow) => boolean): JobRow[] {
    return [...this.#live.values()].filter(matches)
  }
  ready(queue: QueueName, first: 'highest' | 'lowest', limit: number): JobRow[] {
    const rows = this.#where((row) => row.state === 'ready' && row.queue === queue)
    const lowestFirst = (a: JobRow, b: JobRow): number =>
      laneRank[b.lane] - laneRank[a.lane] || bySequence(a, b)
    return rows.toSorted(first === 'highest' ? byRank : lowestFirst).slice(0, limit)
  }
  inTurn(queue: QueueName, lane: Lane, limit: number): JobRow[] {
    return this.#withTurn(queue, lane)
      .filter(({ state }) => state === 'ready')
      .toSorted(byTurn)
      .slice(0, limit)
  }
  turns(queue: QueueName, lane: Lane, shareKey: string): Turns {
    const rows = this.#withTurn(queue, lane).toSorted(byTurn)
    return {
      newest: rows.findLast((row) => row.shareKey === shareKey)?.turn,
      current: (rows.find(({ state }) => state === 'ready') ?? rows.at(-1))?.turn,
    }
  }
  #withTurn(queue: QueueName, lane: Lane): JobRow[] {
    return this.#where((row) => row.turn !== undefined && row.queue === queue && row.lane === lane)
  }
  overdue(queues: readonly QueueName[], now: number, limit: number): JobRow[] {
    return this.#overdue((queue) => queues.includes(queue), now, limit)
  }
  unpublished(except: readonly QueueName[], now: number, limit: number): JobRow[] {
    return this.#overdue((queue) => !except.includes(queue), now, limit)
  }
  #overdue(inQueue: (queue: QueueName) => boolean, now: number, limit: number): JobRow[] {
    return this.#where((row) => row.state === 'ready' && inQueue(row.queue) && (row.publishAfter ?? 0) <= now)
      .toSorted(bySequence)
      .slice(0, limit)
  }
  published(queues: readonly QueueName[], after: number, limit: number): JobRow[] {
    return this.#where(
      (row) => row.state === 'ready' && queues.includes(row.queue) && (row.publishAfter ?? 0) > after,
    )
      .toSorted((a, b) => (b.publishAfter ?? 0) - (a.publishAfter ?? 0) || bySequence(a, b))
      .slice(0, limit)
  }
  due(now: number, limit: number): JobRow[] {
    return this.#where((row) => waitsForTime(row) && (row.runAt ?? 0) <= now)
      .toSorted((a, b) => (a.runAt ?? 0) - (b.runAt ?? 0) || bySequence(a, b))
      .slice(0, limit)
  }
  nextDue(): number | undefined {
    const times = this.#where(waitsForTime).map((row) => row.runAt ?? 0)
    return times.length === 0 ? undefined : Math.min(...times)
  }
  lost(now: number, limit: number): JobRow[] {
    const isOut = (worker: string | undefined): boolean => {
      const row = worker === undefined ? undefined : this.#workers.get(worker)
      return !row || row.leaseUntil < now
    }
    return this.#where(
      (row) => row.state === 'running' && ((row.deadline ?? Infinity) < now || isOut(row.worker)),
    )
      .toSorted(bySequence)
      .slice(0, limit)
  }
  claimsOf(worker: string): JobRow[] {
    return this.#where((row) => row.state === 'running' && row.worker === worker).toSorted(bySequence)
  }

  holder({ queue, key }: QueueKey): string | undefined {
    return this.#holders.get(toKey(queue, key))?.id
  }
  setHolder({ queue, key }: QueueKey, id: string | undefined): void {
    if (id === undefined) this.#holders.delete(toKey(queue, key))
    else this.#holders.set(toKey(queue, key), { queue, key, id })
  }
  firstOfKey(key: QueueKey): JobRow | undefined {
    return this.liveOfKey(key)[0]
  }
  liveOfKey({ queue, key }: QueueKey): JobRow[] {
    return this.#where((row) => row.queue === queue && row.orderingKey === key).toSorted(bySequence)
  }
  blockedKeys(limit: number): (QueueKey & { holder: string; waiting: number })[] {
    return [...this.#holders.values()]
      .filter((holder) => this.#rows.get(holder.id)?.state === 'failed')
      .slice(0, limit)
      .map(({ queue, key, id }) => ({
        queue,
        key,
        holder: id,
        waiting: Math.min(this.liveOfKey({ queue, key }).length, mostWaitingCounted),
      }))
  }

  unique(name: string, key: string): UniqueRow | undefined {
    return this.#uniques.get(toKey(name, key))
  }
  setUnique(name: string, key: string, unique: UniqueRow | undefined): void {
    if (unique) this.#uniques.set(toKey(name, key), unique)
    else this.#uniques.delete(toKey(name, key))
  }

  worker(id: string): WorkerRow | undefined {
    return this.#workers.get(id)
  }
  workers(): WorkerRow[] {
    return [...this.#workers.values()]
  }
  saveWorker(worker: WorkerRow): void {
    this.#workers.set(worker.id, worker)
  }
  removeWorker(id: string): void {
    this.#workers.delete(id)
  }

  heldQueues(): readonly HeldQueue[] {
    return [...this.#held.values()]
  }
  setPaused(queue: QueueName, pausedBy: string | undefined): void {
    this.#hold({ ...this.#held.get(queue), name: queue, pausedBy })
  }
  setQueueLimit(queue: QueueName, limit: QueueLimit | undefined): void {
    this.#hold({ ...this.#held.get(queue), name: queue, limit })
  }
  #hold(queue: HeldQueue): void {
    if (queue.pausedBy === undefined && queue.limit === undefined) this.#held.delete(queue.name)
    else this.#held.set(queue.name, queue)
  }
  republishQueue(queue: QueueName, now: number): void {
    for (const row of this.#where((row) => row.state === 'ready' && row.queue === queue)) {
      row.publishAfter = now
      row.publishes = 0
    }
  }
  running(queue: QueueName): number {
    return this.#where((row) => row.state === 'running' && row.queue === queue).length
  }
  counts(): ReadonlyMap<QueueName, QueueCounts> {
    const counts = new Map<QueueName, QueueCounts>()
    for (const { queue, state } of this.#live.values()) {
      if (isFinal(state)) continue
      const count = counts.get(queue) ?? { ready: 0, scheduled: 0, blocked: 0, suspended: 0, running: 0 }
      count[state] += 1
      counts.set(queue, count)
    }
    return counts
  }

  schedule(name: string): ScheduleRow | undefined {
    return this.#schedules.get(name)
  }
  schedules(): ScheduleRow[] {
    return [...this.#schedules.values()]
  }
  saveSchedule(name: string, schedule: ScheduleRow | undefined): void {
    if (schedule) this.#schedules.set(name, schedule)
    else this.#schedules.delete(name)
  }
  firstSchedules({ names, jobs }: KnownSchedules, limit: number): DueSchedule[] {
    return this.schedules()
      .filter(({ name, job, isDeclared }) => (isDeclared ? names.includes(name) : jobs.includes(job)))
      .flatMap(({ name, dueAt }) => (dueAt === undefined ? [] : [{ name, dueAt }]))
      .toSorted((a, b) => a.dueAt - b.dueAt)
      .slice(0, limit + 1)
  }

  limit(name: string): LimitRow | undefined {
    return this.#limits.get(name)
  }
  limits(): LimitRow[] {
    return [...this.#limits.values()]
  }
  saveLimit(limit: LimitRow): void {
    this.#limits.set(limit.name, limit)
  }
  removeLimit(name: string): void {
    this.#limits.delete(name)
  }
  limitKey(name: string, key: string): LimitKeyRow | undefined {
    return this.#limitKeys.get(toKey(name, key))
  }
  saveLimitKey(row: LimitKeyRow): void {
    this.#limitKeys.set(toKey(row.name, row.key), row)
  }
  removeLimitKey({ name, key }: LimitPlace): void {
    this.#limitKeys.delete(toKey(name, key))
  }
  waitingKeys(name: string, limit: number): LimitKeyRow[] {
    return this.limitKeys(name, limit).filter(({ waits }) => waits)
  }
  limitKeys(name: string, limit: number): LimitKeyRow[] {
    return [...this.#limitKeys.values()]
      .filter((row) => row.name === name)
      .toSorted((a, b) => Number(b.waits) - Number(a.waits) || a.turn - b.turn)
      .slice(0, limit)
  }
  #limitTimes(): { readonly name: string; readonly key?: string | undefined; readonly admitAt: number }[] {
    return [...this.#limits.values(), ...this.#limitKeys.values()]
      .flatMap(({ admitAt, ...row }) => (admitAt === undefined ? [] : [{ ...row, admitAt }]))
      .toSorted((a, b) => a.admitAt - b.admitAt)
  }
  dueLimits(now: number, limit: number): { readonly name: string; readonly key?: string | undefined }[] {
    return this.#limitTimes()
      .filter(({ admitAt }) => admitAt <= now)
      .slice(0, limit)
      .map(({ name, key }) => ({ name, key }))
  }
  nextLimit(): number | undefined {
    return this.nextLimitAfter(-Infinity)
  }
  nextLimitAfter(after: number): number | undefined {
    return this.#limitTimes().find(({ admitAt }) => admitAt > after)?.admitAt
  }
  #ofLimit(name: string, key: string | undefined, matches: (row: JobRow) => boolean): JobRow[] {
    return this.#where(
      (row) => row.limit?.name === name && (key === undefined || row.limit.key === key) && matches(row),
    )
  }
  heldOf(name: string, key: string | undefined): { ready: number; running: number } {
    const count = (state: JobState): number => this.#ofLimit(name, key, (row) => row.state === state).length
    return { ready: count('ready'), running: count('running') }
  }
  atLimit({ name, key }: LimitPlace, except: readonly QueueName[], limit: number): JobRow[] {
    return this.#ofLimit(name, key, (row) => row.atLimit && !except.includes(row.queue))
      .toSorted(byRank)
      .slice(0, limit)
  }
  countAtLimit(name: string, key: string | undefined, most: number): number {
    return Math.min(this.#ofLimit(name, key, (row) => row.atLimit).length, most)
  }

  addEvent(event: NewEvent): void {
    const stored = { ...event, position: ++this.#position }
    this.#events.push(stored)
    const ofJob = this.#eventsOf.get(event.jobId)
    if (ofJob) ofJob.push(stored)
    else this.#eventsOf.set(event.jobId, [stored])
  }
  removeEvents(before: number, limit: number): number {
    const first = this.#events.findIndex((event) => event.at >= before)
    const count = Math.min(first === -1 ? this.#events.length : first, limit)
    for (const event of this.#events.splice(0, count)) {
      const kept = this.#eventsOf.get(event.jobId)?.filter((other) => other !== event) ?? []
      if (kept.length > 0) this.#eventsOf.set(event.jobId, kept)
      else this.#eventsOf.delete(event.jobId)
    }
    return count
  }
  eventsOf(id: string): StoredEvent[] {
    return [...(this.#eventsOf.get(id) ?? [])]
  }
  events(
    after: number,
    limit: number,
    { job, queue, tag }: { job?: string; queue?: QueueName; tag?: string },
  ): StoredEvent[] {
    return this.#events
      .filter((event) => event.position > after)
      .filter((event) => job === undefined || event.jobId === job)
      .filter((event) => queue === undefined || event.queue === queue)
      .filter((event) => tag === undefined || event.tags.includes(tag))
      .slice(0, limit)
  }
  span(): readonly [oldest: number, newest: number] {
    return [this.#events[0]?.position ?? this.#position + 1, this.#position]
  }

  list(filter: JobFilter, limit: number, after: string | undefined): JobRow[] {
    const last = after === undefined ? undefined : this.#rows.get(after)
    return [...this.#rows.values()]
      .filter((row) => filter.name === undefined || row.name === filter.name)
      .filter((row) => filter.queue === undefined || row.queue === filter.queue)
      .filter((row) => filter.state === undefined || row.state === filter.state)
      .filter((row) => filter.tag === undefined || row.tags.includes(filter.tag))
      .filter((row) => filter.before === undefined || row.dispatchedAt < filter.before)
      .filter((row) => last === undefined || row.sequence < last.sequence)
      .toSorted((a, b) => b.sequence - a.sequence)
      .slice(0, limit)
  }
  finished(states: readonly FinalState[], until: number, limit: number): JobRow[] {
    const holders = new Set([...this.#holders.values()].map((holder) => holder.id))
    return [...this.#rows.values()]
      .filter((row) => row.flow === undefined && isFinal(row.state) && states.includes(row.state))
      .filter((row) => (row.finishedAt ?? Infinity) <= until && !holders.has(row.id))
      .toSorted(bySequence)
      .slice(0, limit)
  }
}
