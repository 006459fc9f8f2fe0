import { defineConfig } from '@errand/core'
import { describe, expect, it } from 'vitest'
import { fromUrl, sqs } from '../src/index.ts'
import { parseUrl } from '../src/url.ts'

describe('the URL of the driver', () => {
  it.each([
    ['sqs://eu-west-1', { region: 'eu-west-1' }],
    ['sqs://us-gov-east-1/', { region: 'us-gov-east-1' }],
    [
      'sqs://eu-west-1?prefix=shop-&createQueues=false&visibility=1m',
      { region: 'eu-west-1', prefix: 'shop-', createQueues: false, visibility: '1m' },
    ],
    [
      'sqs://eu-west-1?endpoint=http://127.0.0.1:4566',
      { region: 'eu-west-1', endpoint: 'http://127.0.0.1:4566' },
    ],
    [
      'sqs://a:b%40c@eu-west-1?endpoint=http://localhost:1',
      {
        region: 'eu-west-1',
        endpoint: 'http://localhost:1',
        credentials: { accessKeyId: 'a', secretAccessKey: 'b@c' },
      },
    ],
    [
      'https://sqs.eu-west-1.amazonaws.com',
      { region: 'eu-west-1', endpoint: 'https://sqs.eu-west-1.amazonaws.com' },
    ],
    [
      'https://sqs.cn-north-1.amazonaws.com.cn/?prefix=a',
      { region: 'cn-north-1', endpoint: 'https://sqs.cn-north-1.amazonaws.com.cn', prefix: 'a' },
    ],
    [
      'https://sqs-fips.us-east-1.amazonaws.com',
      { region: 'us-east-1', endpoint: 'https://sqs-fips.us-east-1.amazonaws.com' },
    ],
    [
      'https://sqs.internal.example:8443?region=eu-west-1',
      { region: 'eu-west-1', endpoint: 'https://sqs.internal.example:8443' },
    ],
  ] as const)('%s', (url, expected) => {
    const given = Object.entries(parseUrl(url)).filter(([, value]) => value !== undefined)
    expect(Object.fromEntries(given)).toEqual(expected)
    expect(fromUrl(url)).toMatchObject({ errand: 'driver', name: 'sqs' })
    expect(defineConfig({ driver: url }).driver).toBe(url)
  })

  it('without a region leaves it to the SDK', () => {
    expect(parseUrl('sqs://?prefix=shop-')).toMatchObject({ region: undefined, prefix: 'shop-' })
  })

  it.each([
    ['sqs://localhost:4566', 'not a region'],
    ['sqs://eu-west-1:4566', 'port'],
    ['sqs://eu-west-1/queue', 'path'],
    ['sqs://AKIAEXAMPLE:hush@eu-west-1', 'AWS_ACCESS_KEY_ID'],
    ['https://AKIAEXAMPLE:hush@sqs.eu-west-1.amazonaws.com', 'AWS_ACCESS_KEY_ID'],
    ['https://sqs.eu-west-1.amazonaws.com/123456789012/media', 'path'],
    ['https://sqs.internal.example', 'region'],
    ['https://example.com?region=eu-west-1', 'not one of SQS'],
    ['nonsense', 'cannot be read'],
  ])('%s is refused, saying why and not what it holds', (url, why) => {
    let thrown: unknown
    try {
      fromUrl(url)
    } catch (error) {
      thrown = error
    }
    expect(thrown).toMatchObject({ code: 'E_URL', message: expect.stringContaining(why) })
    expect(String(thrown)).not.toMatch(/hush|AKIAEXAMPLE/)
  })
})

it('a createQueues that is neither true nor false is refused', () => {
  expect(() => fromUrl('sqs://eu-west-1?createQueues=no')).toThrow(
    expect.objectContaining({ code: 'E_OPTION', message: expect.stringContaining('createQueues') }),
  )
})

describe('the options of the driver', () => {
  it.each([
    [{ regoin: 'eu-west-1' }, 'E_OPTION', 'did you mean "region"'],
    [{ client: {}, region: 'eu-west-1' }, 'E_OPTION', 'a client as well as'],
    [{ client: {} }, 'E_OPTION', 'not an SQSClient'],
    [{ prefix: 'a.b' }, 'E_OPTION', 'prefix'],
    [{ prefix: 'x'.repeat(41) }, 'E_OPTION', '40'],
    [{ endpoint: 'localhost:4566' }, 'E_OPTION', 'endpoint'],
    [{ endpoint: 'http://user:hush@localhost' }, 'E_OPTION', 'endpoint'],
    [{ createQueues: 'no' }, 'E_OPTION', 'createQueues'],
    [{ tags: { 'aws:team': 'x' } }, 'E_OPTION', 'aws:'],
    [{ tags: { team: 7 } }, 'E_OPTION', 'team'],
    [{ visibility: '500ms' }, 'E_OPTION', 'whole seconds'],
    [{ visibility: '13h' }, 'E_OPTION', "to '12h'"],
    [{ visibility: 'soon' }, 'E_DURATION', 'visibility'],
  ])('%o is refused', (options, code, why) => {
    expect(() => sqs(options as object)).toThrow(
      expect.objectContaining({ code, message: expect.stringContaining(why) }),
    )
  })
})
