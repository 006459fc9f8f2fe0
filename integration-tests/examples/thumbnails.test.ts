import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from '@errand/testkit'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { makeLog, makePlace } from '../fleet/shared.ts'
import { Corner } from '../sqs/corner.ts'
import { errandCommand, examples, node } from './commands.ts'

const postgres = inject('postgres')
const amqp = inject('amqp')
const sqs = inject('sqs')
const folder = mkdtempSync(join(tmpdir(), 'errand-thumbnails-'))
const cwd = join(examples, 'thumbnails')

beforeAll(() => {
  // What runs below on two logs and three drivers must be one and the same application.
  for (const file of ['app.ts', 'worker.ts', 'errand.config.ts', 'jobs.ts']) {
    expect(readFileSync(join(cwd, file), 'utf8')).not.toMatch(/sqlite|postgres|amqp|sqs/i)
  }
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('the thumbnails application', () => {
  it('runs on SQLite', () => run({ ERRAND_LOG: makeLog('sqlite') }))

  it.skipIf(postgres === undefined)('runs on PostgreSQL with only ERRAND_LOG changed', () =>
    run({ ERRAND_LOG: makeLog('postgres') }),
  )

  it.skipIf(postgres === undefined || amqp === undefined)(
    'runs on PostgreSQL and over RabbitMQ with only ERRAND_LOG and ERRAND_DRIVER changed',
    () => run(makePlace('rabbitmq', ['media'])),
  )

  it.skipIf(postgres === undefined || sqs === undefined)(
    'runs on PostgreSQL and over SQS with only ERRAND_LOG and ERRAND_DRIVER changed',
    async () => {
      const env = makePlace('sqs', ['media'])
      await run(env)
      const corner = new Corner(env.ERRAND_DRIVER)
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
  // Its log lines are elsewhere: on a busy machine it may say that the broker does not answer within a second.
  expect(app.stdout().trim().split('\n')).toEqual(made)
  expect(made.filter((file) => !existsSync(file))).toEqual([])

  worker.child.kill('SIGTERM')
  expect(await worker.exitCode, worker.output()).toBe(0)
}
