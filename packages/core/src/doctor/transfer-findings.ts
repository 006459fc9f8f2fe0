import type { WorkerRecord } from '../ports/operations.ts'
import type { Transfer } from '../ports/transfer.ts'
import type { Finding } from './finding.ts'
import { describeWorker } from './worker-name.ts'

/** A move that is not over, and workers that have not followed one. */
export function transferFindings(
  transfer: Transfer | undefined,
  workers: readonly WorkerRecord[],
): readonly Finding[] {
  if (transfer === undefined) return []
  const { phase, from, to, left, by } = transfer
  // Only the workers that it concerns: the fleet may have a new configuration since then.
  const behind = workers.filter(
    ({ alive, drivers: [used] }) => alive && used !== undefined && left.includes(used),
  )
  const findings: Finding[] = behind.map((worker) => ({
    severity: phase === 'moved' ? 'error' : 'warning',
    code: 'worker-behind',
    message: `${describeWorker(worker)} still uses ${worker.drivers[0]}, which ${by} has moved to ${to.place}: does it lack the package, or the variable? Its log says why`,
  }))
  if (phase === 'moved') return findings
  const message = `the system moves from ${from.place} to ${to.place}; see errand transfer --status`
  return [...findings, { severity: 'info', code: 'transfer-under-way', message }]
}
