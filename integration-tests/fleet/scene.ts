import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client } from 'pg'
import { inject, onTestFinished } from 'vitest'
import { createErrand } from '@errand/core'
import type { Errand } from '@errand/core'
import { systemClock } from '@errand/core/ports'
import type { JobLog } from '@errand/core/ports'
import { fromUrl } from '@errand/job-log'
import { checkHistory, describeViolations, quietLogger, readDispatched, readHistory } from '@errand/testkit'
import { readLedger } from './app/ledger.ts'

/** A job log of the test's own, with everything that a fleet on it needs. */
export interface Scene {
  readonly url: string
  /** For worker processes. */
  readonly env: Readonly<Record<string, string>>
  readonly ledger: string
  readonly errand: Errand
  readonly log: JobLog
  /** The violations of I1–I7, as text: over the log's events, and the handlers' own ledger. */
  readonly violations: () => Promise<string>
}

/** The logs that this run can reach, by name. */
export const logs: readonly string[] = ['sqlite', ...(inject('postgres') === undefined ? [] : ['postgres'])]

export async function scene(name: string): Promise<Scene> {
  const folder = mkdtempSync(join(tmpdir(), 'errand-fleet-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  const url = name === 'sqlite' ? `sqlite:${join(folder, 'errand.db')}` : await schemaOfItsOwn()
  const log = fromUrl(url).open({ clock: systemClock, logger: quietLogger })
  onTestFinished(() => log.close())
  await log.migrate()
  const errand = createErrand({ log: url, logger: quietLogger })
  onTestFinished(() => errand.close())
  const ledger = join(folder, 'ledger')
  return {
    url,
    env: { ERRAND_LOG: url, LEDGER: ledger },
    ledger,
    errand,
    log,
    violations: async () =>
      describeViolations(
        checkHistory({
          events: await readHistory(log),
          dispatched: await readDispatched(log),
          ledger: readLedger(ledger),
          live: [],
        }),
      ),
  }
}

async function schemaOfItsOwn(): Promise<string> {
  const url = new URL(inject('postgres') ?? '')
  const schema = `fleet_${randomUUID().replaceAll('-', '').slice(0, 12)}`
  onTestFinished(async () => {
    const client = new Client(inject('postgres'))
    await client.connect()
    await client.query(`drop schema if exists ${schema} cascade`)
    await client.end()
  })
  url.searchParams.set('schema', schema)
  // Many processes share a server that may have a hundred connections for all tests.
  url.searchParams.set('poolSize', '4')
  return url.href
}
