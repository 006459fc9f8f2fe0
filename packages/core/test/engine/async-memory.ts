import { answerEach, asyncHost } from '@errand/core/async-engine'
import { engineLog, noTransactions } from '@errand/core/engine'
import { ErrandError, TopicBus } from '@errand/core/ports'
import type {
  Answer,
  AsyncDatabase,
  AsyncTransaction,
  Changes,
  KeyFound,
  Question,
} from '@errand/core/async-engine'
import type { JobRow } from '@errand/core/engine'
import type { Clock, JobLog, LimitPlace, Logger, QueueKey } from '@errand/core/ports'
import { listings } from '../../src/engine/async/questions.ts'
import type { MemoryStore } from '../../src/engine/memory-store.ts'

/** An asynchronous database over plain maps. Transactions run one at a time; the test decides what is locked. */
export class AsyncMemory implements AsyncDatabase {
  readonly store: MemoryStore
  readonly clock: Clock
  readonly bus = new TopicBus()
  readonly lockedJobs = new Set<string>()
  readonly lockedKeys = new Set<string>()
  readonly lockedLimits = new Set<string>()
  notes: QueueKey[] = []
  limitNotes: LimitPlace[] = []
  readonly lockedFlows = new Set<string>()
  /** Jobs whose rows a call was given to change. */
  readonly locked = new Set<string>()
  /** Reads and writes since the test began to count. */
  roundTrips = 0
  #last: Promise<unknown> = Promise.resolve()

  constructor(store: MemoryStore, clock: Clock) {
    this.store = store
    this.clock = clock
  }

  write<T>(work: (transaction: AsyncTransaction) => Promise<T>): Promise<T> {
    const turn = this.#last.then(() => work(this.#begin()))
    this.#last = turn.catch(() => undefined)
    return turn
  }
  read<T>(work: (transaction: AsyncTransaction) => Promise<T>): Promise<T> {
    return this.write(work)
  }
  join(): never {
    return noTransactions('asynchronous memory')
  }

  #begin(): AsyncTransaction {
    const held = new Held()
    return {
      now: this.clock.now(),
      read: async (questions, locks) => {
        this.roundTrips += 1
        await Promise.resolve()
        const answers = structuredClone(await this.#answer(questions, locks !== undefined))
        if (locks) for (const id of held.add(questions, answers)) this.locked.add(id)
        return answers
      },
      write: async (changes) => {
        this.roundTrips += 1
        await Promise.resolve()
        held.check(changes)
        this.#apply(structuredClone(changes))
      },
      isRefusedData: () => true,
    }
  }

  #answer(questions: readonly Question[], locks: boolean): Promise<Answer[]> {
    const { store } = this
    const isFree = ({ id }: JobRow): boolean => !locks || !this.lockedJobs.has(id)
    const key = ({ queue, key }: QueueKey, jobs: number): KeyFound => ({
      queue,
      key,
      locked: locks && this.lockedKeys.has(key),
      holder: store.holder({ queue, key }),
      jobs: store.liveOfKey({ queue, key }).slice(0, jobs),
    })
    return answerEach(questions, {
      facts: () => store.facts(),
      row: (id) => (locks && this.lockedJobs.has(id) ? 'locked' : store.row(id)),
      freeRow: (id) => (locks && this.lockedJobs.has(id) ? 'locked' : store.row(id)),
      stored: (id) => {
        const row = store.row(id)
        return row && store.stored(row)
      },
      mend: (id) => store.mend(id),
      key,
      keyOf: (id, jobs) => {
        const row = store.row(id)
        return row?.orderingKey === undefined
          ? undefined
          : key({ queue: row.queue, key: row.orderingKey }, jobs)
      },
      notes: (limit) => this.notes.slice(0, limit),
      ready: (...given) => store.ready(...given).filter(isFree),
      inTurn: (...given) => store.inTurn(...given).filter(isFree),
      turns: (...given) => store.turns(...given),
      overdue: (...given) => store.overdue(...given).filter(isFree),
      unpublished: (...given) => store.unpublished(...given).filter(isFree),
      published: (...given) => store.published(...given).filter(isFree),
      due: (...given) => store.due(...given).filter(isFree),
      lost: (...given) => store.lost(...given).filter(isFree),
      finished: (...given) => store.finished(...given).filter(isFree),
      step: (job, name) => store.step(job, name),
      stepTotals: (job) => store.stepTotals(job),
      steps: (job) => store.steps(job),
      openWaits: (job) => store.openWaits(job),
      unread: (...given) => store.unread(...given),
      countUnread: (job) => store.countUnread(job),
      hasMessage: (job, id) => store.hasMessage(job, id),
      stateOf: (id) => store.stateOf(id),
      nextDue: (after) => store.due(Infinity, Infinity).find(({ runAt }) => (runAt ?? 0) > after)?.runAt,
      claimsOf: (worker) => store.claimsOf(worker),
      unique: (name, key) => store.unique(name, key),
      worker: (id) => store.worker(id),
      workers: () => store.workers(),
      heldQueues: () => store.heldQueues(),
      running: (queue) => store.running(queue),
      unfinished: (ids) => store.unfinished(ids),
      blockedKeys: (limit) => store.blockedKeys(limit),
      counts: () => store.counts(),
      schedule: (name) => store.schedule(name),
      schedules: () => store.schedules(),
      limit: (name) => (locks && this.lockedLimits.has(name) ? 'locked' : store.limit(name)),
      limits: () => store.limits(),
      limitKey: (name, text) => store.limitKey(name, text),
      waitingKeys: (name, limit) => store.waitingKeys(name, limit),
      limitKeys: (name, limit) => store.limitKeys(name, limit),
      limitNotes: (limit) => this.limitNotes.slice(0, limit),
      dueLimits: (...given) => store.dueLimits(...given),
      nextLimit: (after) => store.nextLimitAfter(after),
      heldOf: (name, text) => store.heldOf(name, text),
      atLimit: (...given) => store.atLimit(...given).filter(isFree),
      countAtLimit: (...given) => store.countAtLimit(...given),
      needsOf: (child) => store.needsOf(child),
      openNeeds: (...given) => store.openNeeds(...given),
      childrenOf: (...given) => store.childrenOf(...given),
      flow: (id) => ({ row: store.flow(id), locked: locks && this.lockedFlows.has(id) }),
      flows: (...given) => store.flows(...given),
      members: (...given) => store.members(...given),
      endedFlows: (...given) => store.endedFlows(...given),
      work: (limit) => store.firstWork(limit),
      firstSchedules: (...given) => store.firstSchedules(...given),
      eventsOf: (id) => store.eventsOf(id),
      events: (...given) => store.events(...given),
      span: () => store.span(),
      list: (...given) => store.list(...given),
      oldEvents: (before, limit) => {
        const events = store.events(0, limit, {})
        const first = events.findIndex(({ at }) => at >= before)
        return first === -1 ? events.length : first
      },
    })
  }

  #apply(changes: Changes): void {
    const { store } = this
    if (changes.facts) store.saveFacts(changes.facts)
    for (const { row, job } of changes.inserted.values()) store.insert(row, job)
    for (const [id, row] of changes.updated) {
      const stored = store.row(id)
      if (!stored) throw new ErrandError('E_LOG', `job ${id} is gone`)
      store.update(Object.assign(stored, row))
    }
    for (const [id, payload] of changes.payloads) store.savePayload(id, payload)
    for (const id of changes.removed) store.remove(id)
    for (const { holder, ...key } of changes.keys.values()) store.setHolder(key, holder)
    const taken = new Set(changes.notesTaken.map(({ key }) => key))
    this.notes = [...this.notes.filter(({ key }) => !taken.has(key)), ...changes.notes]
    for (const { name, key, unique } of changes.uniques.values()) store.setUnique(name, key, unique)
    for (const [id, worker] of changes.workers) {
      if (worker) store.saveWorker(worker)
      else store.removeWorker(id)
    }
    for (const [name, schedule] of changes.schedules) store.saveSchedule(name, schedule)
    for (const [name, limit] of changes.limits) {
      if (limit) store.saveLimit(limit)
      else store.removeLimit(name)
    }
    for (const { row, ...place } of changes.limitKeys.values()) {
      if (row) store.saveLimitKey(row)
      else store.removeLimitKey(place)
    }
    const handled = new Set(changes.limitNotesTaken.map(({ name }) => name))
    this.limitNotes = [...this.limitNotes.filter(({ name }) => !handled.has(name)), ...changes.limitNotes]
    for (const need of changes.needs.values()) store.saveNeed(need)
    for (const child of changes.needsRemoved) store.removeNeeds(child)
    for (const [id, flow] of changes.flows) {
      if (flow) store.saveFlow(flow)
      else store.removeFlow(id)
    }
    for (const { flow, ...member } of changes.members) store.addMember(flow, member)
    store.takeWork(changes.workTaken.length)
    for (const work of changes.work) store.addWork(work)
    store.forget([...changes.forgotten])
    for (const step of changes.steps.values()) store.saveStep(step)
    for (const { message, at } of changes.messages) store.addMessage(message, at)
    for (const { job, id } of changes.messagesTaken) store.takeMessage(job, id)
    for (const [queue, limit] of changes.queueLimits) store.setQueueLimit(queue, limit)
    for (const [queue, by] of changes.paused) store.setPaused(queue, by)
    if (changes.republish) store.republishQueue(changes.republish.queue, changes.republish.now)
    if (changes.oldEvents) store.removeEvents(changes.oldEvents.before, changes.oldEvents.limit)
    for (const event of changes.events) store.addEvent(event)
  }
}

/** What a transaction has locked. A row that it has only read may be another one when it is written. */
class Held {
  readonly #jobs = new Set<string>()
  readonly #others = new Set<string>()

  /** Returns the ids of the jobs. */
  add(questions: readonly Question[], answers: readonly Answer[]): string[] {
    const rows: readonly JobRow[] = questions.flatMap(([kind], at) => {
      const answer = answers[at] as never
      if (kind === 'key' || kind === 'keyOf') return (answer as KeyFound | undefined)?.jobs ?? []
      if (kind === 'row' || kind === 'freeRow' || kind === 'mend')
        return typeof answer === 'object' ? [answer] : []
      return (listings as readonly string[]).includes(kind) ? answer : []
    })
    for (const { id } of rows) this.#jobs.add(id)
    for (const [at, [kind, ...given]] of questions.entries()) {
      if (kind === 'unique') this.#others.add(JSON.stringify(given))
      const found = kind === 'key' || kind === 'keyOf' ? (answers[at] as KeyFound | undefined) : undefined
      if (found && found.locked !== true) this.#others.add(JSON.stringify([found.queue, found.key]))
    }
    return rows.map(({ id }) => id)
  }

  check(changes: Changes): void {
    const others = [
      ...[...changes.keys.values()].map(({ queue, key }) => [queue, key]),
      ...[...changes.uniques.values()].map(({ name, key }) => [name, key]),
    ].map((each) => JSON.stringify(each))
    const loose = [
      ...[...changes.updated.keys(), ...changes.removed].filter((id) => !this.#jobs.has(id)),
      ...others.filter((each) => !this.#others.has(each)),
    ]
    if (loose.length > 0) throw new ErrandError('E_LOG', `written without a lock: ${loose.join(', ')}`)
  }
}

/** A job log on it, by the engine's rules. */
export function openAsyncMemory(database: AsyncMemory, logger: Logger): JobLog {
  const { store, bus } = database
  let closed = false
  const open: AsyncDatabase = {
    write: async (work) => (closed ? refuse() : database.write(work)),
    read: async (work) => (closed ? refuse() : database.read(work)),
    join: () => database.join(),
  }
  const info = async () => {
    const { logId, epoch, transfer } = store.facts()
    return { logId, epoch, schemaVersion: 1, transfer }
  }
  return engineLog({
    ...asyncHost(open),
    name: 'asynchronous memory',
    logger,
    connect: info,
    migrate: async (options) => {
      if (options?.restored) store.saveFacts({ ...store.facts(), epoch: store.facts().epoch + 1 })
      return { from: 1, to: 1 }
    },
    notify: async (topics) => bus.notify(topics),
    wakeups: (topics, signal) => bus.listen(topics, signal),
    diagnose: async () => ({ findings: [] }),
    close: async () => {
      closed = true
    },
  })
}

function refuse(): never {
  throw new ErrandError('E_CLOSED', 'this job log has been closed')
}
