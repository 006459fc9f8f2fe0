import { ErrandError } from '../errors.ts'
import type { NewJob } from '../job/job.ts'
import type { Appended, AppendOptions, JobLog, Topic } from '../ports/job-log.ts'
import type { Logger } from '../logging.ts'
import type { Transaction } from '../ports/transaction.ts'
import { append } from './append.ts'
import { beat } from './beat.ts'
import { DamagedRow, withRow } from './damaged-row.ts'
import { claim, take } from './grant.ts'
import * as history from './history.ts'
import { longestPublishGraceMs } from './moves.ts'
import * as operate from './operate.ts'
import { damageError, despiteDamage } from './set-aside.ts'
import { complete, settle } from './settle.ts'
import type { JobStore } from './store.ts'
import { expedite, sweep } from './sweep.ts'

/** What a log must provide so that the engine's rules run on it. */
export interface EngineHost {
  readonly name: string
  readonly logger: Logger
  /** Runs the rules alone in one write transaction. If they throw, it rolls everything back. */
  write<T>(rules: (store: JobStore) => T): Promise<T>
  /** Runs them on one snapshot. */
  read<T>(rules: (store: JobStore) => T): Promise<T>
  /** Runs them inside the caller's transaction. */
  inside<T>(tx: Transaction, rules: (store: JobStore) => T): Promise<T>
  now(): number
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
    write: (rules) => despiteDamage(given, () => given.write(rules)),
    read: (rules) => despiteDamage(given, () => given.read(rules)),
    inside: async (tx, rules) => {
      try {
        return await given.inside(tx, rules)
      } catch (error) {
        throw error instanceof DamagedRow ? damageError(error) : error
      }
    },
  }
  const now = (): number => host.now()
  return {
    port: 1,
    name: host.name,
    connect: () => host.connect(),
    migrate: (options) => host.migrate(options),
    notify: (topics) => host.notify(topics),
    wakeups: (topics, signal) => host.wakeups(topics, signal),
    diagnose: () => host.diagnose(),
    close: () => host.close(),

    append: async (jobs, options: AppendOptions = {}) => {
      const { tx, atomic = false, wake } = options
      if (tx) return host.inside(tx, (store) => append(store, now(), jobs, true))
      const write = (some: readonly NewJob[]): Promise<Appended[]> =>
        host.write((store) => append(store, now(), some, atomic))
      const appended = await (atomic ? write(jobs) : inChunks(jobs, write))
      if (wake) await host.notify(wake)
      return appended
    },
    claim: (tickets, max, by, request) =>
      host.write((store) => claim(store, now(), tickets, max, by, request)),
    take: (queues, max, by, request, options) =>
      host.write((store) => take(store, now(), queues, max, by, request, options)),
    settle: (settlements, by) => host.write((store) => settle(store, now(), settlements, by)),
    complete: (fence, result, by, tx) =>
      host.inside(tx, (store) => complete(store, now(), fence, result, by)),
    // Keys never wait here: each write transaction is alone, so no key's row can be locked by another.
    passKeys: async () => [],

    beat: (by, report) => host.write((store) => beat(store, now(), by, report)),
    leave: (by) => host.write((store) => store.removeWorker(by.id)),
    sweep: (options) => host.write((store) => sweep(store, now(), options)),
    published: (tickets) =>
      host.write((store) => {
        for (const row of tickets.flatMap((ticket) => store.row(ticket.id) ?? [])) {
          if (row.state !== 'ready') continue
          withRow(store, row.id, () => {
            // More doublings than the cap would change nothing and overflow.
            if (2 ** row.publishes * 30_000 < longestPublishGraceMs) row.publishes += 1
            store.update(row)
          })
        }
      }),
    expedite: (queues, options) => host.write((store) => expedite(store, now(), queues, options)),

    get: (id) => host.read((store) => history.get(store, id)),
    unfinished: (ids) => host.read((store) => store.unfinished(ids)),
    list: (filter, page) => host.read((store) => history.list(store, filter, page)),
    eventsOf: (id) => host.read((store) => history.eventsOf(store, id)),
    read: (options) => host.read((store) => history.read(store, options)),
    end: () => host.read((store) => history.end(store)),

    cancel: (ids, note) => host.write((store) => operate.cancel(store, now(), ids, note)),
    replay: (ids, note) => host.write((store) => operate.replay(store, now(), ids, note)),
    skip: (ids, note) => host.write((store) => operate.skip(store, now(), ids, note)),
    change: (id, to, note) => host.write((store) => operate.change(store, now(), id, to, note)),
    pause: (queue, note) => host.write((store) => store.setPaused(queue, note.by)),
    resume: (queue) =>
      host.write((store) => {
        store.setPaused(queue, undefined)
        store.republishQueue(queue, now())
      }),
    queues: () => host.read((store) => operate.queues(store)),
    blockedKeys: (limit) => host.read((store) => store.blockedKeys(limit)),
    workers: () => host.read((store) => operate.workers(store, now())),
    stopWorkers: (id) => host.write((store) => operate.stopWorkers(store, id)),
    transfer: () => host.read((store) => store.facts().transfer),
    setTransfer: (transfer, after) =>
      host.write((store) => operate.setTransfer(store, now(), transfer, after)),
    prune: (options) => host.write((store) => operate.prune(store, now(), options)),
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
