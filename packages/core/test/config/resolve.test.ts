import { expect, test } from 'vitest'
import { resolveConfig } from '../../src/config/resolve.ts'
import { maskCredentials } from '../../src/masking.ts'
import { memoryDriver, memoryLog, silentLogger } from '../../src/testing.ts'
import { catchRefusal } from '../catch-refusal.ts'
import { recordingLogger } from '../recording-logger.ts'
import { packageFiles, temporaryFolder } from '../temporary.ts'

const factorySource = (kind: 'job-log' | 'driver') =>
  `export const fromUrl = (url) => ({ errand: '${kind}', name: url, open() {} })`
const installed = {
  // Names that the real packages have: a package manager's NODE_PATH may bring those into sight, behind these.
  ...packageFiles('@errand/log-sqlite', factorySource('job-log')),
  ...packageFiles('@errand/log-postgres', factorySource('job-log'), {
    errand: { log: ['postgres', 'postgresql'] },
  }),
  ...packageFiles('@errand/driver-database', factorySource('driver')),
  ...packageFiles('@errand/driver-rabbitmq', factorySource('driver'), {
    errand: { driver: ['amqp', 'amqps'] },
  }),
  ...packageFiles('@errand/driver-sqs', factorySource('driver')),
}
const logger = silentLogger

test('what the configuration names is used, whatever the environment says', async () => {
  const log = memoryLog()
  const driver = memoryDriver()
  const env = { ERRAND_LOG: 'sqlite:./env.db', ERRAND_DRIVER: 'amqp://env' }
  const config = resolveConfig({ log, driver, logger }, { env, folder: '/' })
  expect(await config.logFactory()).toBe(log)
  expect(await config.driverFactory()).toBe(driver)
})

test('URLs of the environment find their packages in the application', async () => {
  await using app = await temporaryFolder(installed)
  const cases = [
    ['postgres://u:p@host/db', 'amqp://u:p@host'],
    ['postgresql://host/db', 'amqps://host'],
    ['sqlite:./a.db', 'sqs://eu-west-1?prefix=a'],
    ['sqlite:./a.db', 'database'],
  ] as const
  for (const [log, driver] of cases) {
    const env = { ERRAND_LOG: log, ERRAND_DRIVER: driver }
    const config = resolveConfig({ logger }, { env, folder: app.path, others: [] })
    expect(await config.logFactory()).toMatchObject({ errand: 'job-log', name: log })
    expect(await config.driverFactory()).toMatchObject({ errand: 'driver', name: driver })
  }
})

test('nothing configured: a SQLite file and the database driver, said in one line', async () => {
  await using app = await temporaryFolder(installed)
  const recording = recordingLogger()
  const config = resolveConfig({ logger: recording }, { env: {}, folder: app.path, others: [] })
  expect(await config.logFactory()).toMatchObject({ name: 'sqlite:./errand.db' })
  expect(await config.driverFactory()).toMatchObject({ name: 'database' })
  expect(recording.lines).toMatchObject([{ level: 'info', fields: { log: 'sqlite:./errand.db' } }])
})

test('nothing configured in production is an error that says what to set, but only on first use', async () => {
  const config = resolveConfig({ logger }, { env: { NODE_ENV: 'production' }, folder: '/' })
  const refusal = await catchRefusal(() => config.logFactory())
  expect(refusal).toMatchObject({ code: 'E_MISSING_LOG', message: expect.stringContaining('ERRAND_LOG') })
  // It is read through the mask of credentials, which must leave the example as it is.
  expect(maskCredentials(refusal.message)).toBe(refusal.message)
  expect(refusal.message).toContain('postgres://')
})

test('the environment is read on first use, after a .env file may have been loaded', async () => {
  await using app = await temporaryFolder(installed)
  const env: NodeJS.ProcessEnv = {}
  const config = resolveConfig({ logger }, { env, folder: app.path, others: [] })
  env['ERRAND_LOG'] = 'postgres://late/db'
  expect(await config.logFactory()).toMatchObject({ name: 'postgres://late/db' })
})

test('an unknown scheme in the environment is refused without its credentials', async () => {
  const env = { ERRAND_LOG: 'mysql://root:secret@host/db', ERRAND_DRIVER: 'nats://user:secret@host' }
  const config = resolveConfig({ logger }, { env, folder: '/' })
  for (const use of [() => config.logFactory(), () => config.driverFactory()]) {
    const refusal = await catchRefusal(use)
    expect(refusal.code).toBe('E_URL')
    expect(refusal.message).not.toContain('secret')
  }
})

test('a package that is there and breaks is not called missing', async () => {
  await using app = await temporaryFolder(
    packageFiles('@errand/driver-sqs', 'throw new Error("broken build")'),
  )
  const config = resolveConfig(
    { logger, driver: 'sqs://eu-west-1' },
    { env: {}, folder: app.path, others: [] },
  )
  const refusal = await catchRefusal(() => config.driverFactory())
  expect(refusal).toMatchObject({ code: 'E_CONFIG', message: expect.stringContaining('broken build') })
})

test.each([
  ['export const other = 1', 'does not export fromUrl'],
  ['export const fromUrl = () => ({ errand: "job-log", open() {} })', 'did not return a driver'],
])('a package of another make is refused: %s', async (source, hint) => {
  await using app = await temporaryFolder(packageFiles('@errand/driver-sqs', source))
  const config = resolveConfig(
    { logger, driver: 'sqs://eu-west-1' },
    { env: {}, folder: app.path, others: [] },
  )
  const refusal = await catchRefusal(() => config.driverFactory())
  expect(refusal).toMatchObject({ code: 'E_CONFIG', message: expect.stringContaining(hint) })
})

test('limits and times become settings with a unit', () => {
  const { settings } = resolveConfig(
    { logger, publishWait: '2s', payloadLimit: 10, resultLimit: 20, keep: { succeeded: '1d', failed: '2d' } },
    { env: {}, folder: '/' },
  )
  expect(settings).toMatchObject({
    publishWaitMs: 2_000,
    payloadLimitBytes: 10,
    resultLimitBytes: 20,
    keepSucceededMs: 86_400_000,
    keepFailedMs: 172_800_000,
    publishGraceMs: 30_000,
  })
})
