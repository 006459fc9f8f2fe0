import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { createErrand } from '@errand/core'
import type { Errand } from '@errand/core'
import { systemClock } from '@errand/core/ports'
import type { JobLog } from '@errand/core/ports'
import { logFromUrl } from '../services/logs.ts'
import {
  checkHistory,
  describeViolations,
  quietLogger,
  readFlows,
  readHistory,
  readNeeds,
  scaleLimit,
  until,
} from '@errand/testkit'
import type { LedgerLine } from '@errand/testkit'
import { withGrace } from './app/grace.ts'
import { readLedger } from './app/ledger.ts'
import { jobsSince } from './check.ts'
import { pause } from './looks.ts'

/** A job log of the test's own, with everything that a fleet on it needs. */
export interface Scene {
  readonly url: string
  /** For worker processes. */
  readonly env: Readonly<Record<string, string>>
  readonly ledger: string
  readonly errand: Errand
  readonly log: JobLog
  /** The violations of I1–I7, I9–I11 and I16, as text: over the log's events, and the handlers' own ledger. */
  readonly violations: () => Promise<string>
}

/** Registers what is to be done when a test, or all tests of a file, are over: the last first. */
export type Finally = (act: () => void | Promise<void>) => void

export interface SceneOptions {
  /** Default: when the test has finished. */
  readonly finally?: Finally | undefined
  /** The URL of a broker. Default: jobs are taken straight from the log. */
  readonly driver?: string | undefined
  /**
   * After how long a job counts as overdue whose ticket was lost, instead of 30 s. Those in the critical lane keep the 30 s:
   * one that starts sooner was fetched by its ticket.
   */
  readonly publishGraceMs?: number | undefined
}

/** @param folder for the ledger; its maker removes it */
export async function sceneOn(url: string, folder: string, options: SceneOptions = {}): Promise<Scene> {
  const { driver, publishGraceMs, finally: atTheEnd = onTestFinished } = options
  const log = logFromUrl(url).open({ clock: systemClock, logger: quietLogger })
  atTheEnd(() => log.close())
  await log.migrate()
  const errand = createErrand({
    log: publishGraceMs === undefined ? url : withGrace(logFromUrl(url), publishGraceMs),
    driver,
    logger: quietLogger,
  })
  atTheEnd(() => errand.close())
  const ledger = join(folder, 'ledger')
  return {
    url,
    env: {
      ERRAND_LOG: url,
      LEDGER: ledger,
      // Beside other busy programs, workers are late with their beats: that is no fault of theirs.
      LEASE_MS: String(scaleLimit(2_000)),
      ...(driver === undefined ? {} : { ERRAND_DRIVER: driver }),
    },
    ledger,
    errand,
    log,
    violations: () => violationsIn(log, readLedger(ledger)),
  }
}

/** The violations of I1–I7, I9–I11 and I16 in all of a log, as text. */
export async function violationsIn(log: JobLog, ledger: readonly LedgerLine[]): Promise<string> {
  let found = ''
  const look = async (): Promise<boolean> => {
    const [events, dispatched] = [await readHistory(log), await jobsSince(log, undefined)]
    const whole = { needs: await readNeeds(log, events), flows: await readFlows(log) }
    found = describeViolations(checkHistory({ events, dispatched, ledger, live: [], ...whole }))
    return found === ''
  }
  // PostgreSQL shows events to readers once no older transaction is open anywhere in the cluster, which other tests
  // share: what is missing may come, and nothing that is wrong becomes right by waiting.
  await until(look, { withinMs: 20_000, pause }).catch(() => {})
  return found
}
