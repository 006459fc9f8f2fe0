import { ErrandError } from '../errors.ts'
import type { JobLog, Topic } from '../ports/job-log.ts'
import type { WorkerRecord } from '../ports/operations.ts'
import type { Transfer } from '../ports/transfer.ts'
import { lookEveryMs } from './routed-driver.ts'
import { Drain } from './drain.ts'
import type { LeftQueue } from './drain.ts'
import type { Connection, OperateDeps } from '../operate/connection.ts'
import { readyAtMost } from '../operate/ready-at-most.ts'
import type { TransferOptions, TransferStatus } from './transfer.ts'
import { workerInfo } from '../operate/workers.ts'

/** Between two looks. */
const everyMs = 500
/** For this long, a process that only dispatches may not have heard of the move and may publish to the old driver. */
const dispatchersMs = lookEveryMs + 1_000
/** This many looks in a row must find nothing: a ticket may be on its way from one list to another. */
const cleanLooks = 2
const expediteAtOnce = 500

/** Live workers that do not follow the record yet. */
function findBehind(
  workers: readonly WorkerRecord[],
  { phase, from, to }: Transfer,
): readonly WorkerRecord[] {
  return workers.filter(
    ({ alive, drivers }) =>
      alive && (drivers[0] !== to.place || (phase === 'moved' && drivers.includes(from.place))),
  )
}

export function toStatus(
  transfer: Transfer,
  workers: readonly WorkerRecord[],
  left: readonly LeftQueue[],
): TransferStatus {
  const { phase, from, to, by, at } = transfer
  const behind = findBehind(workers, transfer).map((worker) => workerInfo(worker))
  return { phase, from: from.place, to: to.place, by, since: new Date(at), behind, left }
}

/** Brings a move to its end, from wherever it is. */
export async function untilMoved(
  { clock, settings }: OperateDeps,
  { log, route }: Connection,
  begun: Transfer,
  { signal, onProgress }: TransferOptions,
): Promise<TransferStatus> {
  let transfer = begun
  const said = (workers: readonly WorkerRecord[], left: readonly LeftQueue[]): TransferStatus => {
    const status = toStatus(transfer, workers, left)
    onProgress?.(status)
    return status
  }
  await announce(log)
  await route.follow(transfer)
  const beganMs = clock.monotonicMs()
  const { publishGraceMs } = settings
  const drain = new Drain({ log, clock, old: route.old, transfer, publishGraceMs })
  let left: readonly LeftQueue[] = []
  for (let clean = 0; transfer.phase === 'moving';) {
    const workers = await log.workers()
    left = await drain.look(workers)
    const status = said(workers, left)
    if (signal?.aborted) return status
    const heard = status.behind.length === 0 && clock.monotonicMs() - beganMs >= dispatchersMs
    clean = heard && left.every(({ why }) => why !== undefined) ? clean + 1 : 0
    if (clean >= cleanLooks) {
      await expedite(log)
      const moved = await log.setTransfer({ ...transfer, phase: 'moved' }, transfer.revision)
      transfer = moved ?? (await others(log, transfer))
      await announce(log)
      await route.follow(transfer)
    } else {
      transfer = await others(log, transfer)
      await clock.sleep(everyMs, signal)
    }
  }
  for (;;) {
    const status = said(await log.workers(), left)
    if (signal?.aborted || status.behind.length === 0) return status
    await clock.sleep(everyMs, signal)
  }
}

/**
 * The current record: another process may have finished this very move.
 * @throws `E_NOT_ALLOWED` for another move
 */
async function others(log: JobLog, transfer: Transfer): Promise<Transfer> {
  const record = await log.transfer()
  if (record?.to.place === transfer.to.place) return record
  throw new ErrandError(
    'E_NOT_ALLOWED',
    `${record?.by ?? 'somebody'} has moved the system to ${record?.to.place ?? 'another driver'}; this transfer ends`,
  )
}

/** Workers learn of the move with a heartbeat, so they must beat now. */
async function announce(log: JobLog): Promise<void> {
  const workers = await log.workers()
  const topics = workers.filter(({ alive }) => alive).map(({ id }): Topic => `worker:${id}`)
  if (topics.length > 0) await log.notify(topics)
}

/** Publishes all ready jobs again, so that no job depends on a ticket at the old driver. */
async function expedite(log: JobLog): Promise<void> {
  const queues = await log.queues()
  const names = queues.map(({ name }) => name)
  // Relays give the jobs a new grace at the same time, so this loop has a limit of its own.
  let most = queues.reduce((sum, queue) => sum + readyAtMost(queue), 0)
  while (most > 0) {
    const { jobs, more } = await log.expedite(names, { limit: expediteAtOnce })
    most -= expediteAtOnce
    if (jobs === 0 || !more) return
  }
}
