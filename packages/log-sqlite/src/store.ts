import type { JobStore, LogFacts } from '@errand/core/engine'
import { parseTransfer } from './rows.ts'
import type { Statements } from './statements.ts'
import { eventTable } from './store/events.ts'
import { jobTables } from './store/jobs.ts'
import { flowTables } from './store/flows.ts'
import { keyTables } from './store/keys.ts'
import { jobPages } from './store/pages.ts'
import { memoryTables } from './store/memory.ts'
import { limitTables } from './store/limits.ts'
import { or } from './store/sql.ts'
import { scheduleTable } from './store/schedules.ts'
import { waitingJobs } from './store/waiting.ts'
import { workerTables } from './store/workers.ts'

/**
 * The engine's store over the tables of `schema.ts`, on one connection, for one transaction. It reads the facts once.
 */
export function sqliteStore(sql: Statements): JobStore {
  return {
    ...factsRow(sql),
    ...jobTables(sql),
    ...jobPages(sql),
    ...waitingJobs(sql),
    ...keyTables(sql),
    ...workerTables(sql),
    ...scheduleTable(sql),
    ...limitTables(sql),
    ...flowTables(sql),
    ...memoryTables(sql),
    ...eventTable(sql),
  }
}

function factsRow(sql: Statements): Pick<JobStore, 'facts' | 'saveFacts'> {
  let read: LogFacts | undefined
  return {
    facts() {
      if (!read) {
        const row = sql.one('select log_id, epoch, last_sweep_at, hold_until, transfer from errand_log')
        read = {
          logId: String(row?.log_id),
          epoch: Number(row?.epoch),
          lastSweepAt: row?.last_sweep_at == null ? undefined : Number(row.last_sweep_at),
          holdUntil: row?.hold_until == null ? undefined : Number(row.hold_until),
          transfer: parseTransfer(row?.transfer),
        }
      }
      return read
    },
    saveFacts(facts) {
      read = facts
      sql.run(
        'update errand_log set epoch = ?, last_sweep_at = ?, hold_until = ?, transfer = ?',
        facts.epoch,
        or(facts.lastSweepAt),
        or(facts.holdUntil),
        facts.transfer === undefined ? null : JSON.stringify(facts.transfer),
      )
    },
  }
}
