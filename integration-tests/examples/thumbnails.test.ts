import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { lanes } from '@errand/core'
import { until } from '@errand/testkit'
import { connect } from 'amqplib'
import { Client } from 'pg'
import { afterAll, beforeAll, describe, expect, inject, it, onTestFinished } from 'vitest'
import { broker } from '../fleet/brokers/sqs.ts'
import { Corner } from '../sqs/corner.ts'
import { errandCommand, examples, node } from './commands.ts'

const postgres = inject('postgres')
const amqp = inject('amqp')
const sqs = inject('sqs')
const name = `errand_thumbnails_${randomBytes(4).toString('hex')}`
const folder = mkdtempSync(join(tmpdir(), 'errand-thumbnails-'))
const cwd = join(examples, 'thumbnails')

const sqlite = (file: string): string => `sqlite:${join(folder, `${file}.db`)}`

beforeAll(() => {
  // What runs below on two logs and three drivers must be one and the same application.
  for (const file of ['app.ts', 'worker.ts', 'errand.config.ts', 'jobs.ts']) {
    expect(readFileSync(join(cwd, file), 'utf8')).not.toMatch(/sqlite|postgres|amqp|sqs/i)
  }
})
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true })
  if (postgres !== undefined) await dropSchemas(postgres, [name, `${name}_amqp`, `${name}_sqs`])
  if (amqp !== undefined) await deleteQueues(amqp)
})

describe('the thumbnails application', () => {
  it('runs on SQLite', () => run({ ERRAND_LOG: sqlite('alone') }))

  it.skipIf(postgres === undefined)('runs on PostgreSQL with only ERRAND_LOG changed', () =>
    run({ ERRAND_LOG: withParameter(postgres, 'schema', name) }),
  )

  it.skipIf(postgres === undefined || amqp === undefined)(
    'runs on PostgreSQL and over RabbitMQ with only ERRAND_LOG and ERRAND_DRIVER changed',
    () =>
      run({
        ERRAND_LOG: withParameter(postgres, 'schema', `${name}_amqp`),
        ERRAND_DRIVER: withParameter(amqp, 'prefix', name),
      }),
  )

  it.skipIf(postgres === undefined || sqs === undefined)(
    'runs on PostgreSQL and over SQS with only ERRAND_LOG and ERRAND_DRIVER changed',
    async () => {
      const driver = broker.makeDriver(sqs ?? '')
      const corner = new Corner(driver)
      onTestFinished(() => corner.close())
      await run({ ERRAND_LOG: withParameter(postgres, 'schema', `${name}_sqs`), ERRAND_DRIVER: driver })
      // It went over SQS: the queues are there, and every ticket is gone.
      expect(await corner.names()).toHaveLength(4)
      await until(async () => (await corner.tickets('media')) === 0, { what: 'no ticket is left' })
    },
  )
})

/** What its README says: migrate, start a worker, run the application. */
async function run(environment: {
  readonly ERRAND_LOG: string
  readonly ERRAND_DRIVER?: string
}): Promise<void> {
  const thumbnails = mkdtempSync(join(folder, 'made-'))
  const env = { ...environment, THUMBNAILS: thumbnails, ERRAND_LOG_LEVEL: 'warn' }
  await using migrate = node([errandCommand, 'migrate'], { cwd, env })
  expect(await migrate.exitCode, migrate.output()).toBe(0)

  await using worker = node([errandCommand, 'work'], { cwd, env })
  const files = ['fig', 'dogs', 'nuthatch'].map((file) => join(examples, 'photos', `${file}.jpg`))
  await using app = node(['app.ts', ...files], { cwd, env })
  expect(await app.exitCode, app.output() + worker.output()).toBe(0)

  const made = ['fig', 'dogs', 'nuthatch'].map((file) => join(thumbnails, `${file}-200.webp`))
  expect(app.output().trim().split('\n')).toEqual(made)
  expect(made.filter((file) => !existsSync(file))).toEqual([])

  worker.child.kill('SIGTERM')
  expect(await worker.exitCode, worker.output()).toBe(0)
}

function withParameter(url: string | undefined, parameter: string, value: string): string {
  const changed = new URL(url ?? '')
  changed.searchParams.set(parameter, value)
  return changed.href
}

async function dropSchemas(url: string, schemas: readonly string[]): Promise<void> {
  const client = new Client({ connectionString: url })
  await client.connect()
  for (const schema of schemas) await client.query(`drop schema if exists ${schema} cascade`)
  await client.end()
}

async function deleteQueues(url: string): Promise<void> {
  const connection = await connect(url)
  const channel = await connection.createChannel()
  for (const lane of lanes) await channel.deleteQueue(`${name}:media:${lane}:v1`)
  await connection.close()
}
