import { ErrandError } from '../errors.ts'
import type { WorkerRecord } from '../ports/operations.ts'
import type { OperateDeps } from './connection.ts'

export interface WorkerInfo {
  readonly id: string
  readonly host: string
  readonly pid: number
  readonly label: string | undefined
  readonly queues: readonly string[]
  /** Whether it asks for jobs at present, and if not, why. */
  readonly taking: boolean
  readonly why: string | undefined
  /** False: its lease is out, and its runs are lost at the next sweep. */
  readonly alive: boolean
  /** Somebody has asked it to stop. */
  readonly stopping: boolean
  /** Jobs that it runs. */
  readonly running: number
  readonly startedAt: Date
  readonly lastSeen: Date
  /** Drivers that it serves, each with its name and place. The first is the one that it publishes to. */
  readonly drivers: readonly string[]
}

export interface Workers {
  list(): Promise<readonly WorkerInfo[]>
  /** Asks one worker, or all workers, to stop, as SIGTERM would. Resolves with how many were asked. @throws `E_NOT_FOUND` */
  stop(which?: string): Promise<number>
}

export function workerInfo(record: WorkerRecord): WorkerInfo {
  return { ...record, startedAt: new Date(record.startedAt), lastSeen: new Date(record.lastSeen) }
}

export function createWorkers(deps: OperateDeps): Workers {
  return {
    async list() {
      const log = await deps.connectedLog()
      return (await log.workers()).map((record) => workerInfo(record))
    },
    async stop(which) {
      const log = await deps.connectedLog()
      const asked = await log.stopWorkers(which)
      if (asked === 0 && which !== undefined) {
        throw new ErrandError('E_NOT_FOUND', `there is no worker ${which} in this log`)
      }
      const ids = which === undefined ? (await log.workers()).map(({ id }) => id) : [which]
      if (ids.length > 0) await log.notify(ids.map((id) => `worker:${id}` as const))
      return asked
    },
  }
}
