import type { WorkerRef } from '../job/claim.ts'
import type { BeatReply, BeatReport } from '../ports/job-log.ts'
import { withRow } from './damaged-row.ts'
import { move } from './moves.ts'
import type { JobStore } from './store.ts'
import { listPaused } from './places.ts'

export function beat(store: JobStore, now: number, by: WorkerRef, report: BeatReport): BeatReply {
  const known = store.worker(by.id)
  store.saveWorker({
    id: by.id,
    host: by.host,
    pid: by.pid,
    label: by.label,
    leaseMs: by.leaseMs,
    startedAt: known?.startedAt ?? now,
    queues: report.queues,
    taking: report.taking,
    why: report.why,
    drivers: report.drivers ?? [],
    slots: report.slots,
    lastSeen: now,
    leaseUntil: now + by.leaseMs,
    stop: known?.stop ?? false,
  })
  for (const progress of report.progress) {
    const row = store.row(progress.id)
    if (!row || row.state !== 'running' || row.run !== progress.run || row.worker !== by.id) continue
    withRow(store, row.id, () => {
      row.progress = progress.value
      row.progressMessage = progress.message
      move(store, now, row, 'progressed', 'running', {
        worker: by.id,
        data: { progress: progress.value, message: progress.message },
      })
    })
  }
  for (const fence of report.givenUp ?? []) {
    const row = store.row(fence.id)
    if (!row || row.state !== 'running' || row.run !== fence.run || row.worker !== by.id) continue
    row.deadline = Math.min(row.deadline ?? now, now)
    withRow(store, row.id, () => store.update(row))
  }
  return {
    claims: store.claimsOf(by.id).map((row) => ({
      id: row.id,
      run: row.run,
      ...(row.cancelBy === undefined ? {} : { cancel: { by: row.cancelBy, reason: row.cancelReason } }),
    })),
    paused: listPaused(store),
    stop: known?.stop ?? false,
    transfer: store.facts().transfer,
  }
}
