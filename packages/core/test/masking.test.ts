import { expect, test } from 'vitest'
import { scaleLimit } from '@errand/testkit'
import { maskCredentials } from '../src/masking.ts'

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
  ['Authorization: Bearer abc.def', 'Authorization: ***'],
  [
    '{"headers":{"authorization":"Basic dTpw","accept":"*/*"}}',
    '{"headers":{"authorization":"***","accept":"*/*"}}',
  ],
  ["{ 'x-api-key': 'k-1', cookie: 'sid=1; theme=x' }", "{ 'x-api-key': '***', cookie: '***' }"],
  ['sent bearer 8f2c1e77aa', 'sent bearer ***'],
  ['the bearer certificate is wrong', 'the bearer certificate is wrong'],
  ['jwt eyJhbGciOi.eyJzdWIiOiIx.sig-1 expired', 'jwt *** expired'],
  ['{"user":"u","client_secret":"s e","n":1}', '{"user":"u","client_secret":"***","n":1}'],
  ["Invalid login { password: 'it\\'s' }", "Invalid login { password: '***' }"],
  ['https://s3/x?X-Amz-Signature=ab&X-Amz-Date=1', 'https://s3/x?X-Amz-Signature=***&X-Amz-Date=1'],
  ['password: must be longer', 'password: must be longer'],
  ['Unexpected token \'<\', "<html>" is no JSON', 'Unexpected token \'<\', "<html>" is no JSON'],
])('%s', (text, masked) => {
  expect(maskCredentials(text)).toBe(masked)
})

test('masking takes time in proportion to the text, whatever is written in it', () => {
  const since = process.cpuUsage()
  for (const part of [
    'a',
    'a://',
    'a.',
    'a-',
    '@',
    'password=',
    "password='",
    '?a=',
    '//',
    '"token":"',
    "a:'",
    'authorization: ',
    'bearer ',
    'eyJ-',
    'eyJhbGciOi.',
  ])
    maskCredentials(part.repeat(200_000 / part.length))
  // Each of them took minutes when the search started again at each of its places.
  expect(process.cpuUsage(since).user).toBeLessThan(1_000 * scaleLimit(5_000))
})
