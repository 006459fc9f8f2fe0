import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createErrand, isErrandError } from 'errand'
import type { Logger } from 'errand'
import { gatherAudit } from './audit/gather.ts'
import { fileLogger } from './file-logger.ts'
import { readOptions, usage } from './options.ts'
import type { Options } from './options.ts'
import { perform } from './perform.ts'
import { findPictures } from './pictures.ts'
import { clear, noteSchema, placeIn, readLogUrl, remove, sqliteUrl } from './place.ts'
import type { Place } from './place.ts'
import { ownSchema } from './postgres.ts'
import { readRecord, writeRecord } from './record.ts'
import { checkBroker } from './stage/broker.ts'
import { reportAudit, reportFound, reportNext, reportPerformance } from './report.ts'
import { Unusable } from './unusable.ts'

const photographs = fileURLToPath(new URL('../photos', import.meta.url))

async function demo(options: Options, place: Place): Promise<number> {
  const found = await findPictures(options.folder ?? photographs)
  const log = options.log === undefined ? sqliteUrl(place.database) : ownSchema(options.log)
  // Before the folder is cleared: a typo must not cost what the last demo left.
  if (options.log !== undefined) await checkLog(log)
  if (options.driver !== undefined) await checkBroker(options.driver, quiet)
  await clear(place)
  if (options.log !== undefined) await noteSchema(place, log)
  reportFound(found)

  const interrupted = untilInterrupted()
  const logger = loggerIn(place)
  await using errand = createErrand({ log, driver: 'database', logger })
  await errand.migrate()
  const credits = options.folder === undefined ? join(photographs, 'CREDITS.md') : undefined
  const venue = { log, driver: options.driver, logger, interrupted }
  const performance = await perform(errand, { pictures: found.pictures, credits, place }, venue)
  interrupted.throwIfAborted()
  await writeRecord(place, performance.dispatched)
  const audited = await gatherAudit(errand, place.ledger, performance.dispatched)
  reportPerformance(performance, audited)
  reportAudit(audited)
  reportNext(place, log, performance)
  return audited.findings.length === 0 ? 0 : 1
}

/** The folder of the log file may belong to the last demo. */
const quiet: Logger = { debug() {}, info() {}, warn() {}, error() {} }

/** @throws if the database of the log does not answer. That the log itself is missing is right. */
async function checkLog(log: string): Promise<void> {
  await using errand = createErrand({ log, driver: 'database', logger: quiet })
  await errand.connect().catch((error: unknown) => {
    if (!isErrandError(error, 'E_LOG_VERSION')) throw error
  })
}

/** Runs only the audit again, on what the last demo left. */
async function auditAgain(place: Place): Promise<number> {
  const dispatched = await readRecord(place)
  await using errand = createErrand({
    log: await readLogUrl(place),
    driver: 'database',
    logger: loggerIn(place),
  })
  const audited = await gatherAudit(errand, place.ledger, dispatched)
  reportAudit(audited)
  return audited.findings.length === 0 ? 0 : 1
}

function loggerIn({ out }: Place): Logger {
  return fileLogger(join(out, 'demo.log'))
}

class Interrupted extends Error {
  override readonly name = 'Interrupted'
}

/** Aborts when nobody reads the output any more, as in `demo | head`. */
function untilUnread(): AbortSignal {
  const controller = new AbortController()
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    controller.abort(new Interrupted())
  })
  return controller.signal
}

const unread = untilUnread()

/**
 * The first Ctrl-C ends the show in order; the second one ends it at once. A show that nobody reads ends like one after
 * the first.
 */
function untilInterrupted(): AbortSignal {
  const controller = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (controller.signal.aborted) process.exit(exitCode.interrupted)
      controller.abort(new Interrupted())
    })
  }
  return AbortSignal.any([controller.signal, unread])
}

const exitCode = { error: 1, interrupted: 130 } as const

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2), process.env)
  if (options.help) {
    process.stdout.write(usage)
    return 0
  }
  const place = placeIn(options.out)
  if (options.auditOnly) return auditAgain(place)
  try {
    return await demo(options, place)
  } catch (error) {
    if (!(error instanceof Interrupted)) throw error
    await remove(place.out)
    process.stderr.write('\n  stopped; nothing is left of it\n')
    return exitCode.interrupted
  }
}

try {
  process.exitCode = await main()
} catch (error) {
  process.exitCode = exitCode.error
  process.stderr.write(`\n  ${explain(error)}\n`)
}

function explain(error: unknown): string {
  if (error instanceof Unusable) return error.message
  if (isErrandError(error)) return `${error.code}: ${error.message}`
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
