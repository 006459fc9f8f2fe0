import { expect, test } from 'vitest'
import { makeApplication } from './helpers/application.ts'

test('one of --to, --cancel and --status must be said, and a URL must look like one: exit 2', async () => {
  const app = makeApplication()
  for (const words of [[], ['--status', '--cancel'], ['--to', 'database', '--status'], ['--to', 'rabbit']]) {
    expect(await app.command('transfer', ...words), words.join(' ')).toMatchObject({ code: 2 })
  }
})

test('a system that was never moved says so, and has nothing to cancel: exit 6', async () => {
  const app = makeApplication()
  expect(await app.command('transfer', '--status')).toMatchObject({
    code: 0,
    stdout: 'the driver has never been moved\n',
  })
  expect(await app.json('transfer', '--status')).toBeNull()
  expect(await app.command('transfer', '--cancel')).toMatchObject({ code: 6 })
})

test('refused, and nothing changes: the driver in use, a missing package, and a variable that is not set', async () => {
  const app = makeApplication()
  const inUse = await app.command('transfer', '--to', 'database')
  expect(inUse).toMatchObject({ code: 6 })
  expect(inUse.stderr).toContain('uses database already')
  const missing = await app.command('transfer', '--to', 'amqp://mia:secret@broker')
  expect(missing).toMatchObject({ code: 5 })
  expect(missing.stderr).toContain('@errand/driver-rabbitmq')
  expect(missing.stdout + missing.stderr).not.toContain('secret')
  const unset = await app.command('transfer', '--to', 'env:ERRAND_DRIVER_NEXT')
  expect(unset).toMatchObject({ code: 5 })
  expect(unset.stderr).toContain('ERRAND_DRIVER_NEXT')
  expect(await app.json('transfer', '--status')).toBeNull()
})
