import { maskCredentials } from '@errand/core/ports'
import { describe, expect, it } from 'vitest'
import { fromUrl, rabbitmq } from '../src/index.ts'
import { parseUrl, resolveOptions } from '../src/options.ts'

const url = 'amqp://user:s3cret@broker/shop'

describe('options', () => {
  it.each(['amqp://[::1', undefined])('that are wrong (%s) show an example that no mask spoils', (given) => {
    let message = ''
    try {
      resolveOptions({ url: given as string })
    } catch (error) {
      message = (error as Error).message
    }
    expect(message).toContain('amqp://<user>:<password>@<host>')
    expect(maskCredentials(message)).toBe(message)
  })

  it('have a default each, and are frozen', () => {
    const settings = resolveOptions({ url: 'amqp://broker' })
    expect(settings).toMatchObject({
      prefix: 'errand',
      declare: true,
      auth: 'plain',
      heartbeatSeconds: 5,
      connectTimeoutMs: 10_000,
      publishTimeoutMs: 5_000,
    })
    expect(settings.endpoints).toEqual([
      expect.objectContaining({ host: 'broker', port: 5672, vhost: '/', user: 'guest', password: 'guest' }),
    ])
    expect(Object.isFrozen(settings)).toBe(true)
  })

  it.each([
    ['amqp://u:p%40ss@h:1234/a%2Fb', { host: 'h', port: 1234, vhost: 'a/b', user: 'u', password: 'p@ss' }],
    ['amqps://[::1]', { protocol: 'amqps', host: '::1', port: 5671, where: 'amqps://[::1]:5671/' }],
    ['amqp://h/', { vhost: '/' }],
    ['amqp://h/%2F', { vhost: '/' }],
  ])('read %s', (text, expected) => {
    expect(resolveOptions({ url: text }).endpoints[0]).toMatchObject(expected)
  })

  it('read several hosts of one cluster, with the user, the vhost and the options of them all', () => {
    const { endpoints, prefix } = resolveOptions(parseUrl('amqp://u:p,w@a,b:5673,[::1]/shop?prefix=eu'))
    expect(prefix).toBe('eu')
    expect(endpoints.map(({ where, user, password }) => [where, user, password])).toEqual(
      ['amqp://a:5672/shop', 'amqp://b:5673/shop', 'amqp://[::1]:5672/shop'].map((where) => [
        where,
        'u',
        'p,w',
      ]),
    )
  })

  it('may stand in a URL, RabbitMQ’s own with their own units', () => {
    const options = parseUrl(
      `${url}?prefix=eu&declare=false&heartbeat=20&connection_timeout=3000&publishTimeout=2s&auth_mechanism=external`,
    )
    expect(resolveOptions(options)).toMatchObject({
      prefix: 'eu',
      declare: false,
      heartbeatSeconds: 20,
      connectTimeoutMs: 3_000,
      publishTimeoutMs: 2_000,
      auth: 'external',
    })
  })

  it('make a factory that opens without any I/O', () => {
    for (const factory of [rabbitmq(url), rabbitmq({ url }), fromUrl(`${url}?prefix=eu`)]) {
      expect(factory).toMatchObject({ errand: 'driver', name: 'rabbitmq' })
    }
  })

  it.each([
    ['an unknown scheme', () => rabbitmq('http://user:s3cret@broker'), 'E_URL'],
    ['no URL', () => rabbitmq('user:s3cret@broker'), 'E_URL'],
    ['an empty list', () => rabbitmq({ url: [] }), 'E_OPTION'],
    ['a vhost of several parts', () => rabbitmq('amqp://user:s3cret@broker/a/b'), 'E_URL'],
    ['a # in a password', () => rabbitmq('amqp://user:s3#cret@broker'), 'E_URL'],
    ['a stray %', () => rabbitmq('amqp://user:s3cret%@broker'), 'E_URL'],
    ['an unknown option in the URL', () => rabbitmq(`${url}?prefx=a`), 'E_OPTION'],
    ['an unknown option', () => rabbitmq({ url, prefx: 'a' } as never), 'E_OPTION'],
    ['a query beside options', () => rabbitmq({ url: `${url}?prefix=a` }), 'E_URL'],
    ['a prefix with a colon', () => rabbitmq({ url, prefix: 'a:b' }), 'E_NAME'],
    ['the broker’s own prefix', () => rabbitmq({ url, prefix: 'amq.errand' }), 'E_NAME'],
    ['no heartbeat', () => rabbitmq({ url, heartbeat: 0 }), 'E_OPTION'],
    ['half a second of heartbeat', () => rabbitmq({ url, heartbeat: '500ms' }), 'E_OPTION'],
    ['a bad duration', () => rabbitmq({ url, publishTimeout: '5 s' as never }), 'E_DURATION'],
    ['declare=maybe', () => rabbitmq(`${url}?declare=maybe`), 'E_OPTION'],
    ['a certificate that is not there', () => rabbitmq(`${url}?cacertfile=/no/such/file`), 'E_OPTION'],
  ])('refuse %s with a code, and show no password', (_, make, code) => {
    let thrown: unknown
    try {
      make()
    } catch (error) {
      thrown = error
    }
    expect(thrown).toMatchObject({ code })
    expect(String(thrown)).not.toContain('s3')
  })
})
