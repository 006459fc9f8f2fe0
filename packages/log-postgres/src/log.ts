import { ErrandError, TopicBus } from '@errand/core/ports'
import type { JobLog, LogContext, LogInfo, Topic } from '@errand/core/ports'
import { Appender } from './append.ts'
import { Beats } from './beats.ts'
import { Claims } from './claims.ts'
import { places } from './cursors.ts'
import { Database } from './database.ts'
import { debounce } from './debounce.ts'
import { diagnose } from './diagnose.ts'
import { Events } from './events.ts'
import { FlowCalls } from './flows.ts'
import { JobMemory } from './memory.ts'
import { Limits } from './limits.ts'
import { Listener } from './listener.ts'
import { inspect, migrate } from './migrate.ts'
import { release as thisRelease } from './migrations/release.ts'
import type { Release } from './migrations/release.ts'
import { Notifier } from './notifier.ts'
import { OneJob } from './one-job.ts'
import { Operations } from './operations.ts'
import type { ResolvedOptions } from './options.ts'
import { Records } from './records.ts'
import { makeGrants, makeScript } from './roles.ts'
import { Schedules } from './schedules.ts'
import { Settler } from './settle.ts'
import { Sweeps } from './sweeps.ts'

/**
 * The job log on PostgreSQL: the rules are functions in its schema, so that every call is one round trip.
 * @param release of another build, in tests
 */
export function openPostgresLog(
  options: ResolvedOptions,
  context: LogContext,
  release: Release = thisRelease,
): JobLog {
  const { logger } = context
  const database = new Database(options, logger, release)
  let info: LogInfo | undefined
  let connecting: Promise<LogInfo> | undefined
  let closing: Promise<void> | undefined

  const connect = (): Promise<LogInfo> => {
    connecting ??= (async () => {
      if (options.migrate) await migrate(database, false)
      info = await inspect(database)
      return info
    })().catch((error: unknown) => {
      // The next call tries again.
      connecting = undefined
      throw error
    })
    return connecting
  }
  /** Connects before the first call, so that nothing runs on a schema that this code cannot use. */
  const connected = async <T>(work: () => Promise<T>): Promise<T> => {
    if (closing) throw new ErrandError('E_CLOSED', 'this job log has been closed')
    if (!info) await connect()
    return work()
  }

  const logId = (): string => info?.logId ?? ''
  const bus = new TopicBus()
  const notifier = new Notifier(database, logger)
  const listener = new Listener(database, logger, bus, notifier.sender)
  const appender = new Appender(database, logId)
  const claims = new Claims(database, logger, logId)
  const settler = new Settler(database, logger, logId)
  const beats = new Beats(database)
  const sweeps = new Sweeps(database, logger, logId)
  const schedules = new Schedules(database, appender)
  const limits = new Limits(database, logId)
  const memory = new JobMemory(database, logId)
  const oneJob = new OneJob(database)
  const flows = new FlowCalls(database, oneJob, logId)
  const events = new Events(database)
  const records = new Records(database, oneJob)
  const operations = new Operations(database, logger, logId, sweeps)

  return {
    port: 1,
    name: 'postgres',
    connect,
    migrate: async ({ restored = false } = {}) => {
      const report = await migrate(database, restored)
      info = undefined
      connecting = undefined
      return report
    },
    grants: async (roles, { apply }) => {
      const grants = makeGrants(database.schema, roles, release)
      if (apply) await database.transaction((run) => run(grants))
      return makeScript(database.schema, grants)
    },

    append: (jobs, given = {}) =>
      connected(async () => {
        if (jobs.length === 0 && (given.flows ?? []).length === 0) return []
        const { wake = [] } = given
        const behind = notifier.behind(wake)
        const appended = await appender.append(jobs, given, behind)
        bus.notify(wake)
        if (behind?.used !== true) notifier.send(wake)
        return appended
      }),
    debounce: (id, payload, times, tx) =>
      connected(() => debounce(database, logId(), id, payload, times, tx)),
    claim: (tickets, max, by, request, given) =>
      connected(() => claims.claim(tickets, max, by, request, given)),
    take: (queues, max, by, request, given) => connected(() => claims.take(queues, max, by, request, given)),
    settle: (settlements, by) => connected(() => settler.settle(settlements, by)),
    settleAndTake: (settlements, queues, max, by, request, given) =>
      connected(async () => {
        const taking = claims.prepareTake(queues, max, by, request, given)
        const { settled, claims: taken } = await settler.settleAnd(taking, settlements, by)
        return { settled, claims: await taking.elsewhere(taken) }
      }),
    complete: (fence, result, by, tx) => connected(() => settler.complete(fence, result, by, tx)),
    passNotes: (limit) => connected(() => sweeps.passNotes(limit)),
    beat: (by, report) => connected(() => beats.beat(by, report)),
    served: () => connected(() => beats.served()),
    leave: (by) => connected(() => beats.leave(by)),
    sweep: (given) => connected(() => sweeps.sweep(given)),
    published: (tickets) => connected(() => sweeps.published(tickets)),
    expedite: (queues, given) => connected(() => sweeps.expedite(queues, given)),

    notify: async (topics: readonly Topic[]) => {
      bus.notify(topics)
      notifier.send(topics)
    },
    wakeups: (topics, signal) =>
      options.listen ? listener.listen(topics, signal) : bus.listen(topics, signal),

    get: (id) => connected(() => records.get(id)),
    unfinished: (ids) => connected(() => records.unfinished(ids)),
    list: (filter, page) => connected(() => records.list(filter, page)),
    readHistory: (id) => connected(() => events.readHistory(id)),
    read: (given) => connected(() => events.read(given)),
    end: () => connected(() => events.end()),
    places,

    readLimits: (names) => connected(() => limits.read(names)),
    saveLimits: (changes) => connected(() => limits.save(changes)),
    readLimitKeys: (name, given) => connected(() => limits.readKeys(name, given)),
    closeLimit: (target, forMs, note) => connected(() => limits.close(target, forMs, note)),

    readFlow: (id) => connected(() => flows.readFlow(id)),
    listFlows: (filter, page) => connected(() => flows.listFlows(filter, page)),
    flowMembers: (flow, page) => connected(() => flows.flowMembers(flow, page)),
    memberEnds: (flow, page) => connected(() => flows.memberEnds(flow, page)),
    needs: (job) => connected(() => flows.needs(job)),
    neededBy: (id, limit) => connected(() => flows.neededBy(id, limit)),
    cancelFlow: (id, note) => connected(() => flows.cancelFlow(id, note)),
    replayFlow: (id, note) => connected(() => flows.replayFlow(id, note)),

    remember: (steps, by) => connected(() => memory.remember(steps, by)),
    recall: (fence, name, by, tx) => connected(() => memory.recall(fence, name, by, tx)),
    rememberInside: (step, by, tx) => connected(() => memory.rememberInside(step, by, tx)),
    memory: (job) => connected(() => memory.memory(job)),
    send: (messages, given) => connected(() => memory.send(messages, given)),

    readSchedules: (names, tx) => connected(() => schedules.read(names, tx)),
    saveSchedules: (changes, tx) => connected(() => schedules.save(changes, tx)),

    cancel: (ids, note) => connected(() => operations.cancel(ids, note)),
    replay: (ids, note, options) => connected(() => operations.replay(ids, note, options)),
    skip: (ids, note) => connected(() => operations.skip(ids, note)),
    change: (id, to, note) => connected(() => operations.change(id, to, note)),
    pause: (queue, note) => connected(() => operations.pause(queue, note)),
    resume: (queue) => connected(() => operations.resume(queue)),
    limitQueue: (queue, concurrency, note) =>
      connected(() => operations.limitQueue(queue, concurrency, note)),
    queues: () => connected(() => operations.queues()),
    backlogs: (atMost) => connected(() => operations.backlogs(atMost)),
    blockedKeys: (limit) => connected(() => operations.blockedKeys(limit)),
    workers: () => connected(() => operations.workers()),
    stopWorkers: (id) => connected(() => operations.stopWorkers(id)),
    transfer: () => connected(() => operations.transfer()),
    setTransfer: (transfer, after) => connected(() => operations.setTransfer(transfer, after)),
    prune: (given) => connected(() => operations.prune(given)),
    diagnose: () => connected(() => diagnose(database)),

    close: () => {
      closing ??= (async () => {
        await Promise.all([listener.close(), notifier.close()])
        await database.close()
      })()
      return closing
    },
  }
}
