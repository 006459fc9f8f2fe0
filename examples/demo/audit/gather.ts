import type { Errand, JobEvent } from 'errand'
import { readLedger } from '../ledger.ts'
import { audit } from './audit.ts'
import type { Audit, Dispatched } from './audit.ts'

export interface Audited extends Audit {
  readonly histories: ReadonlyMap<string, readonly JobEvent[]>
}

/** Asks the log for the history of every job, one by one, and for the steps of those that have any, reads what the handlers wrote, and compares. */
export async function gatherAudit(
  errand: Errand,
  ledgerPath: string,
  dispatched: readonly Dispatched[],
): Promise<Audited> {
  const histories = new Map<string, readonly JobEvent[]>(
    await Promise.all(dispatched.map(async ({ id }) => [id, await errand.events.of(id)] as const)),
  )
  const stepped = dispatched.filter(({ steps }) => steps !== undefined)
  const memories = new Map(
    await Promise.all(stepped.map(async ({ id }) => [id, (await errand.jobs.memory(id)).steps] as const)),
  )
  return { ...audit({ dispatched, histories, memories, ledger: readLedger(ledgerPath) }), histories }
}
