import type { Driver } from '../ports/driver.ts'
import { mostWaitingCounted } from '../ports/operations.ts'
import type { Backlog, WorkerRecord } from '../ports/operations.ts'
import type { Connection, OperateDeps } from '../operate/connection.ts'
import { worstFirst } from './finding.ts'
import type { Finding } from './finding.ts'
import { idleFindings, idleWorkers } from './idle-workers.ts'
import { limitFindings } from './limit-findings.ts'
import { publishAgain } from './repair.ts'
import type { Repair } from './repair.ts'
import { scheduleFindings } from './schedule-findings.ts'
import { survey } from './survey.ts'
import type { Survey } from './survey.ts'
import { brokerFindings, imbalances, ticketFindings } from './ticket-balance.ts'
import { transferFindings } from './transfer-findings.ts'
import { describeWorker } from './worker-name.ts'

export interface DoctorOptions {
  /** Publish again the ready jobs of queues that lack tickets. Safe to repeat, and beside workers. Default false. */
  readonly repair?: boolean | undefined
}

/** The state of a fleet: what it runs on, and what is wrong, worst first. */
export interface DoctorReport {
  readonly log: {
    readonly name: string
    readonly id: string
    readonly epoch: number
    readonly schemaVersion: number
  }
  readonly driver: { readonly name: string; readonly delivers: 'tickets' | 'claims' }
  /** What was repaired, if that was asked for. */
  readonly repairs: readonly Repair[]
  /** With `repair`: what is wrong after it. */
  readonly findings: readonly Finding[]
}

const keysShown = 10
/** The time between two looks. A finding about tickets, or about an idle worker, must be in both. */
const lookAgainMs = 2_000

/** Looks at the log, the driver and the workers. Changes nothing unless `repair` is set. */
export async function examine(
  deps: OperateDeps,
  { repair = false }: DoctorOptions = {},
): Promise<DoctorReport> {
  const connection = await deps.connected()
  const { log, driver, info } = connection
  let findings = await collectFindings(deps, connection)
  let repairs: readonly Repair[] = []
  if (repair) {
    const lacking = findings
      .filter(({ code }) => code === 'tickets-missing')
      .flatMap(({ queue }) => queue ?? [])
    repairs = await publishAgain(connection, lacking)
    if (repairs.length > 0) findings = await collectFindings(deps, connection)
  }
  return {
    log: { name: log.name, id: info.logId, epoch: info.epoch, schemaVersion: info.schemaVersion },
    driver: { name: driver.name, delivers: driver.capabilities.delivers },
    repairs,
    findings,
  }
}

async function collectFindings(deps: OperateDeps, connection: Connection): Promise<readonly Finding[]> {
  const { log, driver, route } = connection
  const transfer = await log.transfer()
  await route.follow(transfer)
  const [diagnosis, blocked, first, refusal, ofSchedules] = await Promise.all([
    log.diagnose(),
    log.blockedKeys(keysShown),
    survey(log, driver),
    askForRefusal(driver),
    scheduleFindings(log),
  ])
  return worstFirst([
    ...diagnosis.findings,
    ...queueFindings(first),
    ...first.workers.flatMap((worker) => workerFindings(worker)),
    ...transferFindings(transfer, first.workers),
    ...brokerFindings(first, driver),
    ...ofSchedules,
    ...(await limitFindings(log, first.queues)),
    ...(refusal === undefined
      ? []
      : [{ severity: 'error' as const, code: 'broker-refuses', message: refusal }]),
    ...(await lastingFindings(deps, connection, first)),
    ...blocked.map(({ queue, key, holder, waiting }) => ({
      severity: 'warning' as const,
      code: 'key-blocked',
      queue,
      message: `ordering key ${JSON.stringify(key)} of queue ${queue} is blocked by the failed job ${holder}; ${waiting < mostWaitingCounted ? waiting : `at least ${waiting}`} wait behind it: replay or skip it`,
    })),
  ])
}

/** A broker that does not answer is another matter, and found by its queues. */
async function askForRefusal(driver: Driver): Promise<string | undefined> {
  return driver.refusal?.().catch(() => undefined)
}

/** Findings that count only if they are still there a moment later. A healthy fleet is looked at once. */
async function lastingFindings(
  { clock, closing }: OperateDeps,
  { log, driver }: Connection,
  first: Survey,
): Promise<Finding[]> {
  if (imbalances(first, driver).length === 0 && idleWorkers(first).length === 0) return []
  const since = await log.end()
  await clock.sleep(lookAgainMs, closing.signal)
  const second = await survey(log, driver)
  return [...ticketFindings(first, second, driver), ...(await idleFindings(log, first, second, since))]
}

function queueFindings({ queues, workers }: Survey): Finding[] {
  const served = new Set(workers.filter(({ alive }) => alive).flatMap((worker) => worker.queues))
  return queues.flatMap((queue: Backlog): Finding[] => {
    const found: Finding[] = []
    if (queue.paused) {
      const message = `queue ${queue.name} is paused by ${queue.pausedBy ?? 'somebody'}; ${queue.ready} jobs are ready`
      found.push({ severity: 'info', code: 'queue-paused', queue: queue.name, message })
    }
    if (queue.limit && queue.ready > 0) {
      const { concurrency, by } = queue.limit
      const message = `queue ${queue.name} runs at most ${concurrency} at a time, as ${by} has set; ${queue.ready} jobs are ready`
      found.push({ severity: 'info', code: 'queue-limited', queue: queue.name, message })
    }
    if (queue.ready > 0 && !served.has(queue.name)) {
      const message = `queue ${queue.name} has ${queue.ready} ready jobs, and no live worker serves it`
      found.push({ severity: 'error', code: 'queue-unserved', queue: queue.name, message })
    }
    return found
  })
}

function workerFindings(worker: WorkerRecord): Finding[] {
  if (!worker.alive && worker.running > 0) {
    const message = `${describeWorker(worker)} is gone, and its ${worker.running} runs are not yet taken back: is any worker sweeping?`
    return [{ severity: 'error', code: 'worker-lost', message }]
  }
  if (worker.alive && !worker.taking && !worker.stopping) {
    const message = `${describeWorker(worker)} takes no jobs: ${worker.why ?? 'it gives no reason'}`
    return [{ severity: 'warning', code: 'worker-not-taking', message }]
  }
  return []
}
