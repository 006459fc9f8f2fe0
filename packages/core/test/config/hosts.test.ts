import { expect, it } from 'vitest'
import { eachHost } from '../../src/config/hosts.ts'

it.each([
  ['postgres://a/db', ['postgres://a/db']],
  ['postgres:///db', ['postgres:///db']],
  ['sqlite:./a,b.db', ['sqlite:./a,b.db']],
  ['postgres://a,b/db', ['postgres://a/db', 'postgres://b/db']],
  [
    'amqp://u:p@a:1,b,c:3/v?x=1,2',
    ['amqp://u:p@a:1/v?x=1,2', 'amqp://u:p@b/v?x=1,2', 'amqp://u:p@c:3/v?x=1,2'],
  ],
  ['postgres://u:p@ss,word@a,[::1]:5433', ['postgres://u:p@ss,word@a', 'postgres://u:p@ss,word@[::1]:5433']],
  ['postgres://localhost?options=a,b', ['postgres://localhost?options=a,b']],
])('%s stands for one URL of each of its hosts', (url, urls) => {
  expect(eachHost(url)).toEqual(urls)
})

it('an empty host between commas is refused, and the message shows no password', () => {
  for (const url of ['postgres://u:secret@a,,b/db', 'postgres://u:secret@a,/db', 'amqp://u:secret@,b']) {
    expect(() => eachHost(url)).toThrow(expect.objectContaining({ code: 'E_URL' }))
    expect(() => eachHost(url)).not.toThrow(/secret/)
  }
})
