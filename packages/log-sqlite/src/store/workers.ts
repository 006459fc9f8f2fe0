import type { JobStore, PausedRow, WorkerRow } from '@errand/core/engine'
import { workerRow } from '../rows.ts'
import type { Statements } from '../statements.ts'
import { json, marks, or } from './sql.ts'

/** Workers and paused queues. */
export function workerTables(
  sql: Statements,
): Pick<JobStore, 'worker' | 'workers' | 'saveWorker' | 'removeWorker' | 'paused' | 'setPaused'> {
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
    paused(): readonly PausedRow[] {
      return sql
        .all('select name, paused_by from errand_queues')
        .map((row) => ({ name: String(row.name), by: String(row.paused_by) }))
    },
    setPaused(queue: string, by: string | undefined): void {
      if (by === undefined) sql.run('delete from errand_queues where name = ?', queue)
      else sql.run('insert or replace into errand_queues (name, paused_by) values (?, ?)', queue, by)
    },
  }
}
