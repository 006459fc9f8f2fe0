import type { HeldQueue, JobStore, WorkerRow } from '@errand/core/engine'
import type { QueueLimit } from '@errand/core/ports'
import { workerRow } from '../rows.ts'
import type { Statements, Value } from '../statements.ts'
import { json, marks, or } from './sql.ts'

/** Workers and paused queues. */
export function workerTables(
  sql: Statements,
): Pick<
  JobStore,
  | 'worker'
  | 'workers'
  | 'saveWorker'
  | 'removeWorker'
  | 'heldQueues'
  | 'setPaused'
  | 'setQueueLimit'
  | 'running'
> {
  /** A queue that is neither paused nor limited has no row. */
  function hold(queue: string, ...columns: readonly (readonly [name: string, value: Value])[]): void {
    sql.run('insert or ignore into errand_queues (name) values (?)', queue)
    for (const [name, value] of columns)
      sql.run(`update errand_queues set ${name} = ? where name = ?`, value, queue)
    sql.run('delete from errand_queues where paused_by is null and concurrency is null')
  }
  return {
    worker(id: string): WorkerRow | undefined {
      const row = sql.one('select * from errand_workers where id = ?', id)
      return row && workerRow(row)
    },
    workers(): WorkerRow[] {
      return sql.all('select * from errand_workers order by started_at, id').map((row) => workerRow(row))
    },
    saveWorker(worker: WorkerRow): void {
      sql.run(
        `insert or replace into errand_workers (id, host, pid, label, lease_ms, started_at, queues, taking, why, drivers,
         slots, last_seen, lease_until, stop) values (${marks(14)})`,
        worker.id,
        worker.host,
        worker.pid,
        or(worker.label),
        worker.leaseMs,
        worker.startedAt,
        json(worker.queues),
        Number(worker.taking),
        or(worker.why),
        json(worker.drivers),
        worker.slots === undefined ? null : json(worker.slots),
        worker.lastSeen,
        worker.leaseUntil,
        Number(worker.stop),
      )
    },
    removeWorker(id: string): void {
      sql.run('delete from errand_workers where id = ?', id)
    },
    running(queue: string): number {
      const row = sql.one(
        `select count(*) as n from errand_jobs where state = 'running' and queue = ?`,
        queue,
      )
      return Number(row?.n)
    },
    heldQueues(): readonly HeldQueue[] {
      return sql.all('select * from errand_queues').map((row) => ({
        name: String(row.name),
        pausedBy: row.paused_by == null ? undefined : String(row.paused_by),
        limit:
          row.concurrency == null
            ? undefined
            : { concurrency: Number(row.concurrency), by: String(row.limited_by) },
      }))
    },
    setPaused(queue: string, by: string | undefined): void {
      hold(queue, ['paused_by', or(by)])
    },
    setQueueLimit(queue: string, limit: QueueLimit | undefined): void {
      hold(queue, ['concurrency', or(limit?.concurrency)], ['limited_by', or(limit?.by)])
    },
  }
}
