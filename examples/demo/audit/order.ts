import type { LedgerLine } from '../ledger.ts'
import type { Story } from './audit.ts'

/**
 * Jobs of one key: each must have begun after the one before it had ended, by the log's history and by the place of the
 * handlers' lines in the ledger. One finding for each job that ran out of order.
 */
export function auditOrder(stories: readonly Story[], ledger: readonly LedgerLine[]): string[] {
  const places = new Map<string, { first: number; last: number }>()
  for (const [place, { job }] of ledger.entries()) {
    places.set(job, { first: places.get(job)?.first ?? place, last: place })
  }

  const keyed = stories.filter(({ key }) => key !== undefined)
  return [...Map.groupBy(keyed, ({ key }) => key).values()].flatMap((row) =>
    row.slice(1).flatMap((later, index) => {
      const earlier = row[index]
      if (earlier === undefined) return []
      const said = places.get(later.id)
      const saidBefore = places.get(earlier.id)
      const byLedger = said !== undefined && saidBefore !== undefined && said.first < saidBefore.last
      const began = later.runs.at(0)?.startedAt
      const ended = earlier.runs.at(-1)?.endedAt
      const byHistory = began !== undefined && (ended === undefined || began < ended)
      if (!byLedger && !byHistory) return []
      return [`${later.label} began before ${earlier.label} had ended (key ${later.key})`]
    }),
  )
}
