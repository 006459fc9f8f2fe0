import { ErrandError } from '../errors.ts'
import type { DriverAddress, Transfer } from '../ports/transfer.ts'
import { checkDriver } from './check.ts'
import { Drain } from './drain.ts'
import type { LeftQueue } from './drain.ts'
import { describePlace } from './places.ts'
import type { Connection, OperateDeps } from '../operate/connection.ts'
import { toNote } from '../operate/filter.ts'
import { toStatus, untilMoved } from './until-moved.ts'
import type { WorkerInfo } from '../operate/workers.ts'

/** How far a move of the system from one driver to another is. */
export interface TransferStatus {
  /** `moving`: new tickets go to the new driver, workers take from both. `moved`: the old one is used no more. */
  readonly phase: 'moving' | 'moved'
  /** The drivers, each by its name and place: `rabbitmq amqp://broker:5672/shop?prefix=errand`. */
  readonly from: string
  readonly to: string
  /** Who moves it. */
  readonly by: string
  /** When this phase began. */
  readonly since: Date
  /** Live workers that have not followed yet. */
  readonly behind: readonly WorkerInfo[]
  /** Queues with tickets at the old driver. Those with a `why` are not waited for: their jobs get tickets at the new one. */
  readonly left: readonly LeftQueue[]
}

export interface TransferOptions {
  /** Who does it: stands in the log. */
  readonly by: string
  /** Stops waiting. The move itself goes on: call again to finish it. */
  readonly signal?: AbortSignal | undefined
  /** Called after each look, about twice a second. */
  readonly onProgress?: ((status: TransferStatus) => void) | undefined
}

/** Moves the running system from one driver to another, with jobs in flight and without a restart. */
export interface Transfers {
  /**
   * Moves to the driver of this URL, or of the environment variable that `env:NAME` names, in every process. Resolves
   * when the old driver is drained and every worker has left it, or with how far it is when the signal aborts. Called
   * again it goes on; with the URL of the old driver it goes back.
   *
   * The URL is stored in the job log, with the password that it may hold; `env:NAME` stores the name alone.
   * @throws before anything changes: `E_URL`, `E_OPTION`, `E_CONFIG`, `E_PACKAGE_MISSING`; `E_DRIVER` when the new driver
   * does not answer for one of the queues; `E_NOT_ALLOWED` when the system uses it already, is on its way to a third one,
   * or when live workers use another driver than this process.
   * @example await errand.transfer.to('env:ERRAND_DRIVER_NEXT', { by: 'mia' })
   */
  to(url: string, options: TransferOptions): Promise<TransferStatus>
  /** Goes back to the old driver. Resolves as `to`. @throws `E_NOT_ALLOWED` when the system is not moving. */
  cancel(options: TransferOptions): Promise<TransferStatus>
  /** How far the last move is; undefined when there never was one. */
  status(): Promise<TransferStatus | undefined>
}

export function createTransfers(deps: OperateDeps): Transfers {
  async function learnt(): Promise<Connection & { readonly record: Transfer | undefined }> {
    const connection = await deps.connected()
    const record = await connection.log.transfer()
    await connection.route.follow(record)
    return { ...connection, record }
  }

  return {
    async to(url, options) {
      const { by } = toNote('transfer.to()', options, ['signal', 'onProgress'])
      const factory = await deps.driverAt(url)
      const connection = await learnt()
      const { record, route, log } = connection
      const target: DriverAddress = { place: describePlace(factory), url }
      if (
        record?.to.place === target.place &&
        (record.phase === 'moving' || route.places[0] === target.place)
      ) {
        return untilMoved(deps, connection, record, options)
      }
      await checkStart(connection, target)
      const queues = (await log.queues()).map(({ name }) => name)
      await checkDriver(factory, queues.length > 0 ? queues : ['default'], { ...deps, log })
      return untilMoved(deps, connection, await start(connection, target, by), options)
    },

    async cancel(options) {
      const { by } = toNote('transfer.cancel()', options, ['signal', 'onProgress'])
      const connection = await learnt()
      const { record } = connection
      if (record?.phase !== 'moving') {
        throw new ErrandError(
          'E_NOT_ALLOWED',
          'there is no transfer under way; to go back after one, transfer to the old driver again',
        )
      }
      return untilMoved(deps, connection, await start(connection, record.from, by), options)
    },

    async status() {
      const { record, log, route } = await learnt()
      if (!record) return undefined
      const workers = await log.workers()
      const { clock, settings } = deps
      const parts = { log, clock, old: route.old, transfer: record, publishGraceMs: settings.publishGraceMs }
      const left = record.phase === 'moving' ? await new Drain(parts).look(workers) : []
      return toStatus(record, workers, left)
    },
  }
}

/** @throws `E_NOT_ALLOWED` */
async function checkStart(
  { log, driver, route, record }: Connection & { readonly record: Transfer | undefined },
  target: DriverAddress,
): Promise<void> {
  if (record?.phase === 'moving') {
    if (record.from.place === target.place) return
    throw new ErrandError(
      'E_NOT_ALLOWED',
      `a transfer to ${record.to.place} is under way; finish it or cancel it first`,
    )
  }
  const current = route.places[0] ?? driver.name
  const stranger = (await log.workers()).find(
    ({ alive, drivers: [used] }) => alive && used && used !== current,
  )
  if (stranger) {
    throw new ErrandError(
      'E_NOT_ALLOWED',
      `this process is configured with ${current}, and worker ${stranger.id} on ${stranger.host} (pid ${stranger.pid}) uses ${stranger.drivers[0]}; run the transfer with the configuration of the fleet`,
    )
  }
  if (current === target.place) {
    throw new ErrandError('E_NOT_ALLOWED', `the system uses ${target.place} already`)
  }
}

/** Writes the record: from now on every process that learns of it publishes to the new driver. */
async function start(
  { log, driver, route, record }: Connection & { readonly record: Transfer | undefined },
  to: DriverAddress,
  by: string,
): Promise<Transfer> {
  const place = route.places[0] ?? driver.name
  const known = [record?.to, record?.from].find((address) => address?.place === place)
  const from = record?.phase === 'moving' ? record.to : { place, url: known?.url }
  const left = new Set([...(record ? [...record.left, record.to.place] : []), from.place])
  left.delete(to.place)
  const written = await log.setTransfer(
    { phase: 'moving', from, to, left: [...left], by },
    record?.revision ?? 0,
  )
  if (written) return written
  throw new ErrandError('E_NOT_ALLOWED', 'another transfer began at the same time; look at its status')
}
