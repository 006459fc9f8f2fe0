import { systemClock } from '@errand/core/ports'
import { postgres } from '@errand/log-postgres'
import { quietLogger } from '@errand/testkit'
import { Client } from 'pg'
import { expect, onTestFinished, test } from 'vitest'
import { startPrivatePostgres } from './services/private-postgres.ts'

const server = await startPrivatePostgres()

test.skipIf(server === undefined)(
  'a migration takes longer than its role may take for a transaction',
  async () => {
    onTestFinished(() => server!.stop())
    const client = new Client({ connectionString: server!.url })
    await client.connect()
    onTestFinished(() => client.end())
    await client.query(`alter role postgres set transaction_timeout = '30ms'`)
    const log = postgres(server!.url).open({ logger: quietLogger, clock: systemClock })
    onTestFinished(() => log.close())
    expect(await log.migrate()).toMatchObject({ from: 0 })
  },
)
