import { expect, test } from 'vitest'
import { makeApplication } from './helpers/application.ts'

test('run does a job in this process, prints its result, and leaves it in the log', async () => {
  const app = makeApplication()
  const ran = await app.command('run', 'greet', '{"name":"ada"}')
  expect(ran, ran.stderr).toMatchObject({ code: 0 })
  expect(JSON.parse(ran.stdout)).toEqual({ text: 'hello, ada' })
  expect(await app.jobs()).toMatchObject([{ name: 'greet', state: 'succeeded', attempt: 1 }])
})

test('a job that fails is tried once, whatever its policy; its error is shown, exit 1', async () => {
  const app = makeApplication()
  const ran = await app.command('run', 'stumble', '{"why":"a stone"}')
  expect(ran).toMatchObject({ code: 1, stdout: '' })
  expect(ran.stderr).toContain('TypeError: a stone')
  expect(await app.jobs()).toMatchObject([{ state: 'cancelled', attempt: 1 }])
})

test('run with --json prints one document, also of a failure', async () => {
  const ran = await makeApplication().command('run', 'ordered', '{"key":"k","fail":true}', '--json')
  expect(ran.code).toBe(1)
  expect(JSON.parse(ran.stdout)).toMatchObject({ state: 'failed', error: { message: 'out of order' } })
})

test('a payload that does not fit, and a job that the worker does not handle, are refused', async () => {
  const app = makeApplication()
  expect(await app.command('run', 'greet', '{"name":1}')).toMatchObject({ code: 2 })
  const unknown = await app.command('run', 'gret', '{}')
  expect(unknown).toMatchObject({ code: 3 })
  expect(unknown.stderr).toMatch(/E_UNKNOWN_JOB.*greet/)
})

test('Ctrl-C cancels the job and ends with 130', async () => {
  const app = makeApplication()
  const running = app.start(['run', 'linger'])
  await running.saying(/it lingers/)
  running.process.kill('SIGINT')
  const ended = await running.ended
  expect(ended, ended.stderr).toMatchObject({ code: 130 })
  expect(await app.jobs()).toMatchObject([{ name: 'linger', state: 'cancelled' }])
})
