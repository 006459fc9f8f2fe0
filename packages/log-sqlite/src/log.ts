import { existsSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { engineLog } from '@errand/core/engine'
import { DamagedRow, ErrandError, isErrandError } from '@errand/core/ports'
import type { Diagnosis, JobLog, LogContext, LogInfo } from '@errand/core/ports'
import { checkWritable, explain, isBusy, isDiskFailure, openDatabase } from './connection.ts'
import { FileIdentity } from './identity.ts'
import { logInfo, migrate, needsMigration, refuseWhileLive } from './migrate.ts'
import { Statements } from './statements.ts'
import { sqliteStore } from './store.ts'
import { toStatements } from './transaction.ts'
import { Transactor } from './transactor.ts'
import { FileWakeups } from './wakeups.ts'

interface Opened {
  readonly identity: FileIdentity
  readonly sql: Statements
  readonly transactor: Transactor
  readonly info: LogInfo
}

/** All of a flow is one transaction, and while it is written nobody else writes: so much takes about 50 ms. */
const mostInFlow = 2_000

/** The job log on one SQLite file: the engine's rules over the tables of `schema.ts`. */
export function openSqliteLog(
  file: string,
  { clock, logger, create = true }: LogContext,
  options: { readonly busyTimeoutMs: number },
): JobLog {
  let opening: Promise<Opened> | undefined
  let closing: Promise<void> | undefined
  const wakeups = new FileWakeups(() => openDatabase(file, 0))
  /** Of the first file. If it is opened again, it must be the same file. */
  let identity: FileIdentity | undefined
  const opened = (): Promise<Opened> => {
    opening ??= open(file, { ...options, clock, create, identity }).then(
      (parts) => {
        identity = parts.identity
        return parts
      },
      (error: unknown) => {
        opening = undefined
        throw error
      },
    )
    return opening
  }
  /**
   * A connection that is read-only, or whose disk has failed, is replaced: a new one may work. Only a read-only one
   * runs the call again, because a failing disk may have stored what it was given.
   */
  const using = async <T>(act: (parts: Opened) => Promise<T>): Promise<T> => {
    for (let tries = 1; ; tries += 1) {
      const current = opened()
      const parts = await current
      try {
        return await act(parts)
      } catch (error) {
        const readsOnly = isErrandError(error, 'E_READ_ONLY')
        if (closing || !(readsOnly || isDiskFailure(error))) throw error
        if (opening === current) {
          opening = undefined
          void parts.transactor.retire().catch(() => {})
        }
        if (!readsOnly || tries > 1) throw error
      }
    }
  }
  const log = engineLog({
    name: 'sqlite',
    mostInFlow,
    logger,
    write: (rules) =>
      using(({ transactor, sql }) => transactor.write(() => rules(sqliteStore(sql), clock.now()))),
    read: (rules) =>
      using(({ transactor, sql }) => transactor.read(() => rules(sqliteStore(sql), clock.now()))),
    inside: async (tx, rules) => {
      const { identity: ours } = await opened()
      ours.check()
      try {
        return rules(sqliteStore(toStatements(tx, file)), clock.now())
      } catch (error) {
        throw explain(error, file)
      }
    },
    connect: async () => (await opened()).info,
    migrate: (migration) =>
      using(({ sql, transactor }) =>
        transactor.write(() => {
          const report = migrate(sql)
          const store = sqliteStore(sql)
          const facts = store.facts()
          if (migration?.restored) store.saveFacts({ ...facts, epoch: facts.epoch + 1 })
          return report
        }),
      ),
    notify: async (topics) => wakeups.notify(topics),
    wakeups: (topics, signal) => wakeups.listen(topics, signal),
    diagnose: () => using((parts) => diagnose(parts, clock.now())),
    close: () => {
      closing ??= (async () => {
        wakeups.close()
        await (await opening?.catch(() => undefined))?.transactor.close()
      })()
      return closing
    },
  })
  return { ...log, take: takeGently(log, using, () => clock.now()) }
}

/** Every commit wakes every process, so a look that finds nothing must not take the file's only write lock. */
function takeGently(
  log: JobLog,
  using: <T>(act: (parts: Opened) => Promise<T>) => Promise<T>,
  now: () => number,
): JobLog['take'] {
  return async (queues, max, by, request, options) => {
    const looks = using(async ({ transactor, sql }) => {
      if (transactor.isGathering) return false
      return transactor.read(() => {
        const store = sqliteStore(sql)
        const worker = store.worker(by.id)
        if (!worker || worker.leaseUntil < now()) return false
        return (
          queues.every((queue) => store.ready(queue, 'highest', 1).length === 0) &&
          !store.claimsOf(by.id).some((row) => row.request === request)
        )
      })
    })
    const idle = await looks.catch((error: unknown) => {
      // The log sets such a row aside.
      if (error instanceof DamagedRow) return false
      throw error
    })
    return idle ? [] : log.take(queues, max, by, request, options)
  }
}

interface Opening {
  readonly busyTimeoutMs: number
  readonly clock: LogContext['clock']
  /** False: creates neither the file nor its tables. */
  readonly create: boolean
  /** Of the file that was opened before. */
  readonly identity: FileIdentity | undefined
}

async function open(
  file: string,
  { busyTimeoutMs, clock, create, identity: before }: Opening,
): Promise<Opened> {
  before?.check()
  if (!create && !existsSync(file)) throw missing(`there is no job log ${file}`)
  // Reading needs no right to write.
  if (create) checkWritable(file)
  const database = await retried(() => openDatabase(file, busyTimeoutMs), file)
  const identity = before ?? new FileIdentity(file)
  const transactor = new Transactor(database, file, identity)
  const sql = new Statements(database)
  try {
    if (await transactor.read(() => needsMigration(sql, file))) {
      if (!create) throw missing(`${file} has no job log yet, or one of an older version`)
      await transactor.write(() => {
        if (!needsMigration(sql, file)) return
        refuseWhileLive(sql, file, clock.now())
        migrate(sql)
      })
    }
    const info = await transactor.read(() => logInfo(sql))
    return { sql, transactor, info, identity }
  } catch (error) {
    await transactor.close()
    throw error
  }
}

function missing(what: string): ErrandError {
  return new ErrandError(
    'E_LOG_VERSION',
    `${what}; make it with errand migrate, or dispatch a job or start a worker. Or is the path wrong?`,
  )
}

/** Switching a new file to WAL needs exclusive access. Many processes that start together take turns. */
async function retried(openFile: () => DatabaseSync, file: string): Promise<DatabaseSync> {
  for (let tries = 0; ; tries += 1) {
    try {
      return openFile()
    } catch (error) {
      if (!isBusy(error) || tries > 1_000) throw explain(error, file)
      await new Promise((resolve) => setTimeout(resolve, 1 + Math.random() * 9))
    }
  }
}

async function diagnose({ transactor, sql }: Opened, now: number): Promise<Diagnosis> {
  const facts = await transactor.read(() => sqliteStore(sql).facts())
  const late = facts.lastSweepAt === undefined ? undefined : now - facts.lastSweepAt
  if (late !== undefined && late < 60_000) return { findings: [] }
  return {
    findings: [
      {
        severity: 'warning',
        code: 'no-sweep',
        message: `no worker has swept this log ${late === undefined ? 'yet' : `for ${Math.round(late / 1_000)} s`}: scheduled and lost jobs wait; start a worker`,
      },
    ],
  }
}
