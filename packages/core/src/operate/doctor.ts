import type { QueueRecord, WorkerRecord } from '../ports/operations.ts'
import type { Driver } from '../ports/driver.ts'
import type { OperateDeps } from './connection.ts'

/** Something that a person should know. */
export interface Finding {
  readonly severity: 'error' | 'warning' | 'info'
  /** Stable, for scripts: `worker-not-taking`. */
  readonly code: string
  readonly message: string
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
  readonly findings: readonly Finding[]
}

const severities = ['error', 'warning', 'info'] as const
const keysShown = 10

/** Looks at the log, the driver and the workers, and changes nothing. */
export async function examine(deps: OperateDeps): Promise<DoctorReport> {
  const { log, driver, info } = await deps.connected()
  const [diagnosis, queues, workers, blocked] = await Promise.all([
    log.diagnose(),
    log.queues(),
    log.workers(),
    log.blockedKeys(keysShown),
  ])
  const findings: Finding[] = [
    ...diagnosis.findings,
    ...queueFindings(queues, workers),
    ...workerFindings(workers),
    ...(await depthFindings(driver, queues)),
    ...blocked.map(({ queue, key, holder, waiting }) => ({
      severity: 'warning' as const,
      code: 'key-blocked',
      message: `ordering key ${JSON.stringify(key)} of queue ${queue} is blocked by the failed job ${holder}; ${waiting} wait behind it: replay or skip it`,
    })),
  ]
  return {
    log: { name: log.name, id: info.logId, epoch: info.epoch, schemaVersion: info.schemaVersion },
    driver: { name: driver.name, delivers: driver.capabilities.delivers },
    findings: findings.toSorted((a, b) => severities.indexOf(a.severity) - severities.indexOf(b.severity)),
  }
}

function queueFindings(queues: readonly QueueRecord[], workers: readonly WorkerRecord[]): Finding[] {
  const served = new Set(workers.filter(({ alive }) => alive).flatMap(({ queues }) => queues))
  return queues.flatMap((queue): Finding[] => {
    const found: Finding[] = []
    if (queue.paused) {
      const message = `queue ${queue.name} is paused by ${queue.pausedBy ?? 'somebody'}; ${queue.ready} jobs are ready`
      found.push({ severity: 'info', code: 'queue-paused', message })
    }
    if (queue.ready > 0 && !served.has(queue.name)) {
      const message = `queue ${queue.name} has ${queue.ready} ready jobs, and no live worker serves it`
      found.push({ severity: 'error', code: 'queue-unserved', message })
    }
    return found
  })
}

function workerFindings(workers: readonly WorkerRecord[]): Finding[] {
  return workers.flatMap((worker): Finding[] => {
    const who = `worker ${worker.label ?? worker.id} on ${worker.host} (pid ${worker.pid})`
    if (!worker.alive && worker.running > 0) {
      const message = `${who} is gone, and its ${worker.running} runs are not yet taken back: is any worker sweeping?`
      return [{ severity: 'error', code: 'worker-lost', message }]
    }
    if (worker.alive && !worker.taking && !worker.stopping) {
      const message = `${who} takes no jobs: ${worker.why ?? 'it gives no reason'}`
      return [{ severity: 'warning', code: 'worker-not-taking', message }]
    }
    return []
  })
}

/** Ready jobs without a ticket, and a broker that does not answer. */
async function depthFindings(driver: Driver, queues: readonly QueueRecord[]): Promise<Finding[]> {
  if (driver.capabilities.delivers === 'claims') return []
  const found = await Promise.all(
    queues.map(async ({ name, ready, paused }): Promise<Finding[]> => {
      try {
        const tickets = await driver.depth(name)
        if (tickets === undefined || paused || ready <= tickets || driver.capabilities.depth !== 'exact')
          return []
        const message = `queue ${name} has ${ready} ready jobs and ${tickets} tickets on the broker; workers fetch the rest from the log`
        return [{ severity: 'info', code: 'tickets-missing', message }]
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error)
        return [
          {
            severity: 'error',
            code: 'broker-unreachable',
            message: `${driver.name} does not answer for queue ${name}: ${why}`,
          },
        ]
      }
    }),
  )
  return found.flat()
}
