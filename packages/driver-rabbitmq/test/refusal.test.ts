import { createServer } from 'node:net'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { describe, expect, inject, it, onTestFinished } from 'vitest'
import { scaleLimit, startFaultProxy } from '@errand/testkit'
import { newPrefix, openDriver, recordingLogger } from './broker.ts'

const url = inject('amqp')

/** What a call says of this broker. */
async function complaint(brokerUrl: string): Promise<string> {
  const { logger, lines } = recordingLogger()
  const driver = openDriver({ url: brokerUrl, prefix: newPrefix() }, logger)
  onTestFinished(() => driver.close())
  const error = await driver.depth('q').then(
    () => expect.fail('it should have failed'),
    (thrown: unknown) => thrown,
  )
  expect(error).toMatchObject({ code: 'E_DRIVER' })
  // The caller has the error and logs it. The driver would log the same a second time.
  expect(lines.filter(({ level }) => level !== 'debug')).toEqual([])
  const { message } = error as Error
  expect(message + JSON.stringify(lines)).not.toContain('s3cret')
  return message
}

describe.skipIf(url === undefined)('a broker that refuses', () => {
  const at = (user: string, vhost = ''): string => {
    const { host } = new URL(String(url))
    return `amqp://${user}@${host}/${vhost}`
  }

  it('a vhost that does not exist: it is said to be missing, and not that the broker cannot be reached', async () => {
    const said = await complaint(at('guest:guest', 'no-such-vhost'))
    expect(said).toContain('has no vhost "no-such-vhost": add it with rabbitmqctl add_vhost')
    expect(said).not.toContain('cannot be reached')
  })

  it('a password: the user and the password are to be checked', async () => {
    expect(await complaint(at('somebody:s3cret'))).toContain(
      'refuses this user: check the user and the password',
    )
    expect(await complaint(at('guest:s3cret'))).toContain('refuses the user guest')
  })

  it('nobody, as there is none: the socket’s own words', async () => {
    const listener = createServer().listen(0, '127.0.0.1')
    await once(listener, 'listening')
    const { port } = listener.address() as AddressInfo
    listener.close()
    await once(listener, 'close')
    expect(await complaint(`amqp://127.0.0.1:${port}`)).toMatch(/cannot be reached \(.*ECONNREFUSED/)
  })
})

describe.skipIf(url === undefined)('a URL with several hosts', () => {
  async function gone() {
    const { hostname, port } = new URL(String(url))
    const proxy = await startFaultProxy({ host: hostname, port: Number(port || 5672) })
    onTestFinished(() => proxy.close())
    return { proxy, host: `127.0.0.1:${proxy.port}` }
  }

  it('names all of them, and why none lets it in', async () => {
    const [one, two] = [await gone(), await gone()]
    one.proxy.refuse()
    const said = await complaint(`amqp://somebody:s3cret@${one.host},${two.host}/shop`)
    expect(said).toContain(`RabbitMQ at amqp://${one.host}/shop cannot be reached`)
    expect(said).toContain(`RabbitMQ at amqp://${two.host}/shop refuses this user`)
  })

  it('the first one is gone: the first call is answered by the next', async () => {
    const [one, two] = [await gone(), await gone()]
    one.proxy.refuse()
    const driver = openDriver({ url: `amqp://guest:guest@${one.host},${two.host}`, prefix: newPrefix() })
    onTestFinished(() => driver.close())
    expect(await driver.depth('q')).toBe(0)
    // The node comes back, and the other one goes.
    one.proxy.heal()
    two.proxy.refuse()
    two.proxy.cut()
    expect(await driver.depth('q').catch(() => driver.depth('q'))).toBe(0)
  })

  it('the first one takes connections and says nothing: the next has its share of the time', async () => {
    const [one, two] = [await gone(), await gone()]
    one.proxy.blackHole()
    /** Half of it is far more than this machine needs for a call. */
    const connectTimeout = Math.min(12_000, Math.max(3_000, scaleLimit(1_000)))
    /** How long a call takes, ms. */
    const took = async (hosts: string): Promise<number> => {
      const url = `amqp://guest:guest@${hosts}`
      const driver = openDriver({ url, prefix: newPrefix(), connectTimeout })
      onTestFinished(() => driver.close())
      const sinceMs = performance.now()
      const answer = await driver.depth('q').catch(() => 'none')
      expect(answer).toBe(hosts.includes(',') ? 0 : 'none')
      return performance.now() - sinceMs
    }
    const [alone, both] = await Promise.all([took(one.host), took(`${one.host},${two.host}`)])
    // Half of it, and a part of the rest for the call itself.
    expect(both).toBeLessThan(0.9 * alone)
  })
})
