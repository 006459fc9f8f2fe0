import { expect, test } from 'vitest'
import { scaleLimit } from '@errand/testkit'
import { defaultLogger, maskCredentials, maskingLogger } from '../src/logging.ts'
import { refusalOf } from './code-of.ts'
import { recordingLogger } from './recording-logger.ts'

test.each([
  ['amqp://user:secret@host:5672/v', 'amqp://***@host:5672/v'],
  ['cannot reach postgres://u:se@cr/e?t@db/x now', 'cannot reach postgres://***@db/x now'],
  ['sqs://eu?endpoint=http://key:secret@localhost', 'sqs://***@localhost'],
  ['postgres://host/db?user=a&password=secret&ssl=1', 'postgres://host/db?user=a&password=***&ssl=1'],
  ['amqps://u:p%40ss%2Fword@host/v?heartbeat=5', 'amqps://***@host/v?heartbeat=5'],
  [
    'sqs://eu?secretAccessKey=abc&prefix=x&sessionToken=def',
    'sqs://eu?secretAccessKey=***&prefix=x&sessionToken=***',
  ],
  ["host=db password='se cret' user=app", 'host=db password=*** user=app'],
  ['host=db password=secret user=app', 'host=db password=*** user=app'],
  ['mail a@b.example', 'mail a@b.example'],
  ['at file:///app/pg@8.1/index.js', 'at file:///app/pg@8.1/index.js'],
  ['file:///a?to=amqp://u:secret@host', 'file://***@host'],
  ['https://host/path', 'https://host/path'],
])('%s', (text, masked) => {
  expect(maskCredentials(text)).toBe(masked)
})

test('credentials reach no log line: not by message, field, error, cause or what a library hangs on an error', () => {
  const recording = recordingLogger()
  const cause = Object.assign(new Error('refused by amqp://user:secret@host'), {
    config: { password: 'secret' },
  })
  const error = Object.assign(new Error('publish to amqp://user:secret@host failed', { cause }), {
    code: 'E_DRIVER',
  })
  maskingLogger(recording).error(
    { err: error, url: 'amqp://user:secret@host', nested: { urls: ['amqp://user:secret@host'] } },
    'lost amqp://user:secret@host',
  )
  expect(JSON.stringify(recording.lines)).not.toContain('secret')
  expect(recording.lines).toMatchObject([
    { level: 'error', fields: { err: { code: 'E_DRIVER', message: 'publish to amqp://***@host failed' } } },
  ])
})

test('the default logger is pino, so that a child of it can be made, at the level of the environment', async () => {
  expect(defaultLogger({})).toMatchObject({ level: 'info' })
  expect(defaultLogger({ ERRAND_LOG_LEVEL: 'silent' })).toHaveProperty('child')
  const refusal = await refusalOf(() => defaultLogger({ ERRAND_LOG_LEVEL: 'loud' }))
  expect(refusal).toMatchObject({ code: 'E_OPTION', message: expect.stringContaining('ERRAND_LOG_LEVEL') })
})

test('masking takes no longer than the text is long, whatever somebody has written into it', () => {
  const since = performance.now()
  for (const part of ['a', 'a://', 'a.', 'a-', '@', 'password=', "password='", '?a=', '//'])
    maskCredentials(part.repeat(200_000))
  // Each of them took minutes when it was looked at from each of its places.
  expect(performance.now() - since).toBeLessThan(scaleLimit(5_000))
})

test('a URL object is masked as what is written of it, and nothing is passed on unseen because it lies deep', () => {
  const recording = recordingLogger()
  let deep: object = { url: 'amqp://user:secret@host', error: new Error('amqp://user:secret@host') }
  for (let depth = 0; depth < 10; depth += 1) deep = { deep }
  maskingLogger(recording).warn({
    at: new URL('amqp://user:secret@host'),
    bare: Object.assign(Object.create(null) as object, { url: 'amqp://user:secret@host' }),
    deep,
  })
  expect(JSON.stringify(recording.lines)).not.toContain('secret')
})
