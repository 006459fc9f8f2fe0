import { expect, test } from 'vitest'
import { defaultLogger, maskCredentials, maskingLogger } from '../src/logging.ts'
import { refusalOf } from './code-of.ts'
import { recordingLogger } from './recording-logger.ts'

test.each([
  ['amqp://user:secret@host:5672/v', 'amqp://***@host:5672/v'],
  ['cannot reach postgres://u:se@cr/e?t@db/x now', 'cannot reach postgres://***@db/x now'],
  ['sqs://eu?endpoint=http://key:secret@localhost', 'sqs://***@localhost'],
  ['postgres://host/db?user=a&password=secret&ssl=1', 'postgres://host/db?user=a&password=***&ssl=1'],
  ['mail a@b.example', 'mail a@b.example'],
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
