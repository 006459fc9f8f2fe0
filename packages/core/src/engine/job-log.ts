import { ErrandError } from '../errors.ts'
import type { NewJob } from '../job/job.ts'
import type { Appended, AppendOptions, Debounced, JobLog, Topic } from '../ports/job-log.ts'
import type { Logger } from '../logging.ts'
import type { ScheduleRecord, ScheduleSaved } from '../ports/schedules.ts'
import type { Transaction } from '../ports/transaction.ts'
import { append } from './append.ts'
import { isWhole } from './append-whole.ts'
import { beat } from './beat.ts'
import { calls } from './calls.ts'
import type { Call } from './calls.ts'
import { DamagedRow } from './damaged-row.ts'
import { debounce } from './debounce.ts'
import { claim, leaseholder, take } from './grant.ts'
import { flowCalls } from './flow-calls.ts'
import * as history from './history.ts'
import * as limits from './limits.ts'
import { memoryCalls } from './memory-calls.ts'
import { passNotes } from './notes.ts'
import { toTicket } from './moves.ts'
import * as operate from './operate.ts'
import { prune } from './prune.ts'
import * as schedules from './schedules.ts'
import { damageError, despiteDamage } from './set-aside.ts'
import { complete, settle } from './settle.ts'
import type { JobStore } from './store.ts'
import { expedite, published, sweep } from './sweep.ts'

/** @param now the log's own time, ms since the epoch: one for the whole transaction */
export type Rules<T> = (store: JobStore, now: number) => T

/** What a log must provide so that the engine's rules run on it. */
export interface EngineHost {
  readonly name: string
  readonly logger: Logger
  /** See `JobLog`. */
  readonly mostInFlow?: number | undefined
  /** Runs the rules alone in one write transaction. If they throw, it rolls everything back. */
  write<T>(rules: Rules<T>, call: Call): Promise<T>
  /** Runs them on one snapshot. */
  read<T>(rules: Rules<T>, call: Call): Promise<T>
  /** Runs them inside the caller's transaction. */
  inside<T>(tx: Transaction, rules: Rules<T>, call: Call): Promise<T>
  connect: JobLog['connect']
  migrate: JobLog['migrate']
  notify(topics: readonly Topic[]): Promise<void>
  wakeups: JobLog['wakeups']
  diagnose: JobLog['diagnose']
  close(): Promise<void>
}

/** At most this many jobs are appended in one write transaction, so that no writer makes the others wait long. */
const appendChunk = 500

/**
 * A job log over a synchronous store, by the rules of `docs/writing-a-job-log.md`. The in-memory log and SQLite are
 * made with it; a database that answers asynchronously writes the same rules in its own language.
 */
export function engineLog(given: EngineHost): JobLog {
  const host: EngineHost = {
    ...given,
    write: (rules, call) => despiteDamage(given, () => given.write(rules, call)),
    read: (rules, call) => despiteDamage(given, () => given.read(rules, call)),
    inside: async (tx, rules, call) => {
      try {
        return await given.inside(tx, rules, call)
      } catch (error) {
        throw error instanceof DamagedRow ? damageError(error) : error
      }
    },
  }
  return {
    port: 1,
    name: host.name,
    mostInFlow: host.mostInFlow,
    connect: () => host.connect(),
    migrate: (options) => host.migrate(options),
    notify: (topics) => host.notify(topics),
    wakeups: (topics, signal) => host.wakeups(topics, signal),
    diagnose: () => host.diagnose(),
    close: () => host.close(),

    append: async (jobs, options: AppendOptions = {}) => {
      const { tx, atomic = false, wake, flows } = options
      const whole = atomic || isWhole(jobs, flows ?? [])
      if (tx)
        return host.inside(
          tx,
          (store, now) => append(store, now, jobs, { atomic: true, inside: true, flows }),
          calls.append(jobs),
        )
      const write = (some: readonly NewJob[]): Promise<Appended[]> =>
        host.write(
          (store, now) => append(store, now, some, { atomic, inside: false, flows }),
          calls.append(some),
        )
      const appended = await (whole ? write(jobs) : inChunks(jobs, write))
      if (wake) await host.notify(wake)
      return appended
    },
    debounce: (id, payload, times, tx) => {
      const rules: Rules<Debounced> = (store, now) => debounce(store, now, id, payload, times)
      return tx ? host.inside(tx, rules, calls.operate([id])) : host.write(rules, calls.operate([id]))
    },
    claim: (tickets, max, by, request, options) =>
      host.write(
        (store, now) => claim(store, now, tickets, max, by, request, options),
        calls.claim(tickets, by),
      ),
    take: (queues, max, by, request, options) =>
      host.write(
        (store, now) => take(store, now, queues, max, by, request, options),
        calls.take(queues, max, by, options),
      ),
    settle: (settlements, by) =>
      host.write((store, now) => settle(store, now, settlements, by), calls.settle(settlements)),
    settleAndTake: (settlements, queues, max, by, request, options) =>
      host.write(
        (store, now) => {
          // Both or neither, also on a store that cannot roll back.
          leaseholder(store, now, by)
          const settled = settle(store, now, settlements, by)
          return { settled, claims: take(store, now, queues, max, by, request, options) }
        },
        calls.settleAndTake(settlements, queues, max, by, options),
      ),
    complete: (fence, result, by, tx) =>
      host.inside(tx, (store, now) => complete(store, now, fence, result, by), calls.settle([fence])),
    passNotes: (limit) =>
      host.write(
        (store, now) => passNotes(store, now, limit).map((row) => toTicket(store, row)),
        calls.passNotes(limit),
      ),

    beat: (by, report) => host.write((store, now) => beat(store, now, by, report), calls.beat(by, report)),
    served: () => host.read((store, now) => operate.served(store, now), calls.workers()),
    leave: (by) => host.write((store) => store.removeWorker(by.id), {}),
    sweep: (options) => host.write((store, now) => sweep(store, now, options), calls.sweep(options)),
    published: (tickets) => host.write((store) => published(store, tickets), calls.published(tickets)),
    expedite: (queues, options) =>
      host.write((store, now) => expedite(store, now, queues, options), calls.expedite(queues, options)),

    get: (id) => host.read((store) => history.get(store, id), calls.get(id)),
    unfinished: (ids) => host.read((store) => store.unfinished(ids), calls.unfinished(ids)),
    list: (filter, page) =>
      host.read((store) => history.list(store, filter, page), calls.list(filter, page.limit, page.after)),
    readHistory: (id) => host.read((store) => history.readHistory(store, id), calls.readHistory(id)),
    read: (options) => host.read((store) => history.read(store, options), calls.span()),
    end: () => host.read((store) => history.end(store), calls.span()),
    places: history.places,

    readSchedules: (names, tx) => {
      const rules: Rules<{ now: number; schedules: ScheduleRecord[] }> = (store, now) =>
        schedules.readSchedules(store, now, names)
      const call = calls.readSchedules(names)
      return tx ? host.inside(tx, rules, call) : host.read(rules, call)
    },
    saveSchedules: (changes, tx) => {
      const rules: Rules<ScheduleSaved[]> = (store, now) =>
        schedules.saveSchedules(store, now, changes, tx !== undefined)
      const call = calls.saveSchedules(changes)
      return tx ? host.inside(tx, rules, call) : host.write(rules, call)
    },

    ...flowCalls(host),
    ...memoryCalls(host),

    readLimits: (names) =>
      host.read((store, now) => limits.readLimits(store, now, names), calls.readLimits(names)),
    saveLimits: (changes) =>
      host.write(
        (store, now) => limits.saveLimits(store, now, changes),
        calls.changeLimits(changes.map(({ name }) => name)),
      ),
    readLimitKeys: (name, options) =>
      host.read((store, now) => limits.readLimitKeys(store, now, name, options), {}),
    closeLimit: (target, forMs, note) =>
      host.write(
        (store, now) => limits.closeLimit(store, now, target, forMs, note),
        calls.changeLimits('name' in target ? [target.name] : []),
      ),

    cancel: (ids, note) =>
      host.write((store, now) => operate.cancel(store, now, ids, note), calls.operate(ids)),
    replay: (ids, note, options) =>
      host.write((store, now) => operate.replay(store, now, ids, note, options), calls.operate(ids)),
    skip: (ids, note) => host.write((store, now) => operate.skip(store, now, ids, note), calls.operate(ids)),
    change: (id, to, note) =>
      host.write((store, now) => operate.change(store, now, id, to, note), calls.operate([id])),
    pause: (queue, note) => host.write((store) => store.setPaused(queue, note.by), {}),
    resume: (queue) =>
      host.write((store, now) => {
        store.setPaused(queue, undefined)
        store.republishQueue(queue, now)
      }, {}),
    limitQueue: (queue, concurrency, { by }) =>
      host.write(
        (store) => store.setQueueLimit(queue, concurrency === undefined ? undefined : { concurrency, by }),
        {},
      ),
    queues: () => host.read((store) => operate.queues(store), calls.queues()),
    blockedKeys: (limit) => host.read((store) => store.blockedKeys(limit), calls.blockedKeys(limit)),
    workers: () => host.read((store, now) => operate.workers(store, now), calls.workers()),
    stopWorkers: (id) => host.write((store) => operate.stopWorkers(store, id), calls.stopWorkers()),
    transfer: () => host.read((store) => store.facts().transfer, {}),
    setTransfer: (transfer, after) =>
      host.write((store, now) => operate.setTransfer(store, now, transfer, after), calls.setTransfer()),
    prune: (options) => host.write((store, now) => prune(store, now, options), calls.prune(options)),
  }
}

async function inChunks<T, R>(items: readonly T[], run: (chunk: readonly T[]) => Promise<R[]>): Promise<R[]> {
  if (items.length <= appendChunk) return run(items)
  const results: R[] = []
  for (let from = 0; from < items.length; from += appendChunk) {
    results.push(...(await run(items.slice(from, from + appendChunk))))
  }
  return results
}

/** For logs that cannot take part in a transaction of another library. */
export function noTransactions(name: string): never {
  throw new ErrandError('E_TRANSACTION', `the ${name} log cannot join a transaction: dispatch without tx`)
}
