import { randomUUID } from 'node:crypto'
import { Client } from 'pg'
import { afterAll, describe, expect, it, onTestFinished } from 'vitest'
import { isErrandError, maskCredentials } from '@errand/core/ports'
import type { ErrandError } from '@errand/core/ports'
import { postgres } from '@errand/log-postgres'
import { newJob, quietLogger, workerRef } from '@errand/testkit'
import { systemClock } from '@errand/core/ports'
import { logError } from '../src/failures.ts'
import { openStage, url } from './stage.ts'

const context = { logger: quietLogger, clock: systemClock }
const secret = 'correct-horse'

async function refusal(promise: Promise<unknown>): Promise<ErrandError> {
  const error: unknown = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  if (!isErrandError(error)) throw new Error(`no error of Errand: ${String(error)}`)
  return error
}

/** The whole error as somebody might print it, its causes too. */
function printed(error: unknown): string {
  const parts: string[] = []
  for (let at: unknown = error; at instanceof Error; at = at.cause)
    parts.push(at.message, at.stack ?? '', JSON.stringify(at))
  return parts.join('\n')
}

describe('options', () => {
  it.each([
    [{ url: 'mysql://root@localhost/db' }, 'E_URL'],
    [{ url: `postgres://app:${secret}@[::1/db` }, 'E_URL'],
    [{ url: 'postgres://localhost/db', schema: 'errand; drop table users' }, 'E_OPTION'],
    [{ url: 'postgres://localhost/db', schema: 'Errand' }, 'E_OPTION'],
    [{ url: 'postgres://localhost/db', schema: '"a"' }, 'E_OPTION'],
    [{ url: 'postgres://localhost/db', schema: 'public' }, 'E_OPTION'],
    [{ url: 'postgres://localhost/db?schema=public' }, 'E_OPTION'],
    [{ url: `postgres://app:${secret}@localhost/db?pool_timeout=${secret}` }, 'E_OPTION'],
    [{ url: 'postgres://localhost/db?connection_limit=many' }, 'E_OPTION'],
    [{ url: 'postgres://localhost/db?connection_limit=5&poolSize=5' }, 'E_OPTION'],
    [{ url: 'postgres://localhost/db?pgbouncer=yes' }, 'E_OPTION'],
    [{ url: 'postgres://localhost/db', poolSize: 0 }, 'E_OPTION'],
    [{ url: 'postgres://localhost/db', statementTimeout: 1.5 }, 'E_OPTION'],
    [{ url: 'postgres://localhost/db', listen: 'no' }, 'E_OPTION'],
    [{ url: 'postgres://localhost/db', pool: 3 }, 'E_OPTION'],
  ])('%o is refused when it is given, and no message shows a password', (options, code) => {
    let thrown: unknown
    try {
      postgres(options as never)
    } catch (error) {
      thrown = error
    }
    expect(thrown).toMatchObject({ code })
    expect(printed(thrown)).not.toContain(secret)
  })

  it('an example in an error is still one after credentials were masked', () => {
    let message = ''
    try {
      postgres('postgres://[::1/db')
    } catch (error) {
      message = (error as Error).message
    }
    expect(message).toContain('postgres://<user>:<password>@<host>')
    expect(maskCredentials(message)).toBe(message)
  })

  it('a certificate that is not there is named, and the password is not blamed', () => {
    expect(() => postgres(`postgres://app:${secret}@localhost/db?sslrootcert=/no/such/ca.pem`)).toThrow(
      expect.objectContaining({
        code: 'E_OPTION',
        message: expect.stringMatching(/\/no\/such\/ca\.pem.*sslrootcert(?!.*password)/),
      }),
    )
  })

  it('a database that does not answer is named by host, port and database, and nothing more', async () => {
    const log = postgres(`postgres://app:${secret}@127.0.0.1:1/shop`).open(context)
    const error = await refusal(log.connect())
    expect(error.code).toBe('E_LOG_UNREACHABLE')
    expect(error.message).toContain('127.0.0.1:1/shop')
    expect(printed(error)).not.toContain(secret)
    await log.close()
  })
})

describe('a URL that an ORM uses as well', () => {
  it('is understood where the log has the like, and left to the client where that has it', () => {
    const { heartbeat } = postgres(
      'postgres://localhost/db?connection_limit=7&pgbouncer=true&sslmode=disable&application_name=shop',
    )
    expect(heartbeat?.data).toMatchObject({
      urls: [expect.stringMatching(/localhost\S*\/db\?sslmode=disable&application_name=shop$/)],
      schema: 'errand',
      poolSize: 7,
      listen: false,
      preparedStatements: false,
    })
  })

  it('is refused with the name of its parameter and of whom it is for, where the log would not heed it', () => {
    expect(() => postgres('postgres://localhost/db?schema=jobs&pool_timeout=10')).toThrow(
      /pool_timeout of Prisma.*a URL without it/,
    )
    expect(() => postgres('postgres://localhost/db?schema=public')).toThrow(
      /leave the option schema out.*belongs to an ORM/,
    )
  })
})

it.skipIf(url === undefined)(
  'a schema that is there needs no right to make schemas in the database',
  async () => {
    const stage = openStage()
    const role = `owner_${randomUUID().slice(0, 8)}`
    onTestFinished(async () => {
      await stage.sql(`drop owned by ${role} cascade`)
      await stage.sql(`drop role ${role}`)
      await stage.close()
    })
    await stage.sql(`create role ${role} login password '${secret}'`)
    await stage.sql(`create schema ${stage.schema} authorization ${role}`)
    const own = Object.assign(new URL(stage.url), { username: role, password: secret })
    expect(await stage.open({ url: own.href }).migrate()).toMatchObject({ from: 0 })
  },
)

describe('advice of the server', () => {
  it.each([
    ['08P01', 'unsupported startup parameter: statement_timeout', /listen=false&preparedStatements=false/],
    [
      '08P01',
      'unsupported startup parameter: options',
      /ignore_startup_parameters = statement_timeout, options/,
    ],
    ['26000', 'prepared statement "errand_get" does not exist', /listen=false&preparedStatements=false/],
    ['42P05', 'prepared statement "errand_get" already exists', /listen=false&preparedStatements=false/],
    ['25P04', 'terminating connection due to transaction timeout', /set transaction_timeout = 0/],
    [
      '28000',
      'no PostgreSQL user name specified in startup packet',
      /URL names no user.*postgres:\/\/<user>@<host>/,
    ],
    ['28000', 'role "ap" does not exist', /refused.*role "ap" does not exist/],
    ['28P01', 'password authentication failed for user "app"', /refused.*password.*for user "app"/],
  ])('%s is told with its cure, and the URL is not blamed', (code, message, cure) => {
    const told = logError(Object.assign(new Error(message), { code }), 'here')
    expect(told.message).toMatch(cure)
    expect(told.message).not.toContain('is PostgreSQL running')
  })
})

describe.skipIf(url === undefined)('a schema that does not fit', () => {
  const stage = openStage()
  afterAll(() => stage.close())

  it.each([
    ['a table', 'create table errand.orders (id bigint)', 'drop table errand.orders'],
    ['a view', 'create view errand.orders as select 1', 'drop view errand.orders'],
    [
      'a function',
      'create function errand.orders() returns integer language sql return 1',
      'drop function errand.orders',
    ],
    ['a type', `create type errand.orders as enum ('new')`, 'drop type errand.orders'],
  ])(
    'of its own is what a log needs: one that holds %s is refused, and nothing is made in it',
    async (_, make, drop) => {
      await stage.sql('create schema if not exists errand'.replace('errand', stage.schema))
      await stage.sql(make)
      const error = await refusal(stage.open().migrate())
      expect(error).toMatchObject({
        code: 'E_OPTION',
        message: expect.stringMatching(/in use already \(orders\).*name another one/) as string,
      })
      await stage.sql(drop)
      expect(
        await stage.sql(`select from pg_class where relnamespace = '${stage.schema}'::regnamespace`),
      ).toEqual([])
      await stage.sql(`drop schema ${stage.schema}`)
    },
  )

  it('is told from every call, and what to run', async () => {
    const log = stage.open()
    for (const call of [
      () => log.connect(),
      () => log.append([newJob()]),
      () => log.beat(workerRef(), { queues: [], taking: false, progress: [] }),
    ]) {
      const error = await refusal(call())
      expect(error.code).toBe('E_LOG_VERSION')
      expect(error.message).toContain('errand migrate')
    }
  })

  it('may be newer than the code, as long as it says that this code can use it', async () => {
    const log = stage.open({ migrate: true })
    await log.connect()
    await stage.sql(
      `insert into errand.migrations (version, name, oldest_code) values (90, 'of the future', 1)`,
    )
    expect(await stage.open().connect()).toMatchObject({ schemaVersion: 90 })
    expect(await stage.open().migrate()).toEqual({ from: 90, to: 90 })

    await stage.sql(
      `insert into errand.migrations (version, name, oldest_code) values (91, 'without this code', 90)`,
    )
    const worker = stage.open()
    const error = await refusal(worker.beat(workerRef(), { queues: [], taking: false, progress: [] }))
    expect(error.code).toBe('E_LOG_VERSION')
    expect(error.message).toContain('update @errand/log-postgres')
    await stage.sql('delete from errand.migrations where version > 80')
  })

  it('refuses a database whose transactions are not read committed by default', async () => {
    const strict = new URL(url!)
    strict.searchParams.set('options', '-c default_transaction_isolation=serializable')
    const error = await refusal(stage.open({ url: strict.href }).connect())
    expect(error).toMatchObject({ code: 'E_LOG' })
    expect(error.message).toContain('read committed')
  })

  it('refuses a database that does not store UTF8, before anything is made in it', async () => {
    const name = `latin_${randomUUID().slice(0, 8)}`
    const client = await stage.client()
    await client.query(
      `create database ${name} encoding 'LATIN1' lc_collate 'C' lc_ctype 'C' template template0`,
    )
    onTestFinished(async () => void (await client.query(`drop database ${name} with (force)`)))
    const latin = Object.assign(new URL(url!), { pathname: `/${name}` }).href
    const error = await refusal(stage.open({ url: latin }).migrate())
    expect(error).toMatchObject({ code: 'E_LOG' })
    expect(error.message).toMatch(/stores text as LATIN1.*encoding 'UTF8'/)
  })

  it('is told where a transaction is on a database without this log', async () => {
    const log = stage.open({ migrate: true })
    await log.connect()
    const elsewhere = new Client({
      connectionString: Object.assign(new URL(url!), { pathname: '/template1' }).href,
    })
    await elsewhere.connect()
    onTestFinished(() => elsewhere.end())
    await elsewhere.query('begin')
    const error = await refusal(log.append([newJob()], { tx: elsewhere }))
    expect(error.code).toBe('E_TRANSACTION')
  })

  it('is not led astray by a caller’s search path', async () => {
    const log = stage.open({ migrate: true })
    await log.connect()
    const client = await stage.client()
    // It fits better than PostgreSQL's own, and would answer in its place.
    await client.query(
      `create function ${stage.schema}.cardinality(uuid[]) returns integer language sql return 0`,
    )
    await client.query(`begin; set local search_path = ${stage.schema}, public, pg_catalog`)
    const job = newJob({ ordering: { key: 'k', onFailure: 'block' } })
    expect(await log.append([job], { tx: client })).toMatchObject([{ status: 'added', state: 'ready' }])
    await client.query('commit')
    expect(await log.get(job.id)).toMatchObject({ state: 'ready' })
  })
})
