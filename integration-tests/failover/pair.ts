import { onTestFinished } from 'vitest'
import { startFaultProxy, until } from '@errand/testkit'
import type { FaultProxy } from '@errand/testkit'
import { missingPostgres, onServer, startPrivatePostgres } from '../services/private-postgres.ts'
import type { PrivatePostgres } from '../services/private-postgres.ts'

/** Whether this machine has the binaries for servers of your own. */
export const canHavePairs: boolean = missingPostgres() === undefined

/** Two servers as people run them: a primary, and a standby that it does not wait for. */
export interface Pair {
  readonly primary: PrivatePostgres
  readonly standby: PrivatePostgres
  /** Leads to the log's server, like a name or an address that moves. */
  readonly name: FaultProxy
  /** The proxy between the two servers. */
  readonly replication: FaultProxy
  /** The URL of the log, by that name. */
  readonly url: string
  /** Resolves when the standby has all that the primary has. */
  caughtUp(): Promise<void>
  /** From now on the primary answers and accepts no writes. The standby has all its data. */
  turnReadOnly(): Promise<void>
}

export type Finally = (act: () => void | Promise<void>) => void

export async function startPair(atTheEnd: Finally = onTestFinished): Promise<Pair> {
  const primary = await started()
  atTheEnd(() => primary.stop())
  const replication = await startFaultProxy({ host: '127.0.0.1', port: primary.port })
  atTheEnd(() => replication.close())
  const standby = await started({ server: primary, port: replication.port })
  atTheEnd(() => standby.stop())
  const name = await startFaultProxy({ host: '127.0.0.1', port: primary.port })
  atTheEnd(() => name.close())
  return {
    primary,
    standby,
    name,
    replication,
    url: name.url(primary.url),
    caughtUp: () => caughtUp(primary, standby),
    async turnReadOnly() {
      await sql(primary, 'alter system set default_transaction_read_only = on')
      await sql(primary, 'select pg_reload_conf()')
      const isOn = async (): Promise<boolean> => {
        const [row] = await sql(primary, 'show default_transaction_read_only')
        return row?.['default_transaction_read_only'] === 'on'
      }
      await until(isOn, { what: 'the primary is read-only' })
      await caughtUp(primary, standby)
    },
  }
}

async function caughtUp(primary: PrivatePostgres, standby: PrivatePostgres): Promise<void> {
  const [written] = await sql(primary, 'select pg_current_wal_flush_lsn() as lsn')
  const has = async (): Promise<boolean> =>
    (await sql(standby, 'select pg_last_wal_replay_lsn() >= $1 as has', [written?.['lsn']]))[0]?.['has'] ===
    true
  await until(has, { what: 'the standby has what the primary has' })
}

/** Runs a statement on one of the servers, without a proxy. */
export async function sql(
  server: PrivatePostgres,
  text: string,
  values: unknown[] = [],
): Promise<Record<string, unknown>[]> {
  return onServer(server.url, async (client) => {
    const { rows } = await client.query<Record<string, unknown>>(
      text,
      values.length === 0 ? undefined : values,
    )
    return rows
  })
}

async function started(primary?: Parameters<typeof startPrivatePostgres>[0]): Promise<PrivatePostgres> {
  const server = await startPrivatePostgres(primary)
  if (!server) throw new Error(missingPostgres())
  return server
}
