import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { startFaultProxy, until } from '@errand/testkit'
import type { FaultProxy } from '@errand/testkit'
import { describe, expect, it, onTestFinished } from 'vitest'

interface Line {
  readonly proxy: FaultProxy
  /** What has come back so far. */
  readonly heard: () => string
  readonly say: (text: string) => void
  /** How the connection ended for the client: in order, or cut. */
  readonly ended: Promise<'end' | 'ECONNRESET'>
}

/** A client on a server that repeats whatever it hears, with the proxy between them. */
async function line(): Promise<Line> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.pipe(socket)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const proxy = await startFaultProxy({ host: '127.0.0.1', port: (server.address() as AddressInfo).port })
  onTestFinished(async () => {
    await proxy.close()
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const client = connect({ port: proxy.port, host: '127.0.0.1', allowHalfOpen: true })
  await once(client, 'connect')
  let heard = ''
  client.setEncoding('utf8').on('data', (text: string) => (heard += text))
  const ended = new Promise<'end' | 'ECONNRESET'>((resolve) => {
    client.on('end', () => resolve('end'))
    client.on('error', () => resolve('ECONNRESET'))
  })
  return { proxy, heard: () => heard, say: (text) => void client.write(text), ended }
}

const hears = ({ heard }: Line, text: string): Promise<boolean> =>
  until(() => heard() === text, { what: `"${text}" comes back` })

describe('a fault proxy', () => {
  it('passes on what each side says, and counts it', async () => {
    const on = await line()
    on.say('hello')
    await hears(on, 'hello')
    expect(on.proxy.passed).toEqual({ up: 5, down: 5 })
    expect(on.proxy.connections).toBe(1)
  })

  it('forgets what is open, tells neither side, and lets others pass, to wherever it leads by then', async () => {
    const [on, elsewhere] = [await line(), await line()]
    on.say('hello')
    await hears(on, 'hello')
    on.proxy.forget()
    on.proxy.lead({ host: elsewhere.proxy.host, port: elsewhere.proxy.port })
    on.say(', nobody')
    await until(() => on.proxy.swallowed.up === ', nobody'.length)
    const other = connect({ port: on.proxy.port, host: '127.0.0.1' })
    let heard = ''
    other.on('data', (text: Buffer) => (heard += text.toString()))
    other.write('there')
    await until(() => heard === 'there')
    expect(elsewhere.proxy.passed.up).toBe('there'.length)
    expect(on.heard()).toBe('hello')
    on.proxy.heal()
    expect(await on.ended).toBe('ECONNRESET')
    other.destroy()
  })

  it('is slow, each way', async () => {
    const on = await line()
    on.proxy.delay(100)
    const beganMs = performance.now()
    on.say('hello')
    await hears(on, 'hello')
    // Timers may fire a millisecond early.
    expect(performance.now() - beganMs).toBeGreaterThanOrEqual(195)
  })

  it('swallows one direction, and cuts what makes no sense any more when it is healed', async () => {
    const on = await line()
    on.proxy.blackHole('down')
    on.say('hello')
    await until(() => on.proxy.swallowed.down === 5, { what: 'the server has answered' })
    expect(on.proxy.passed.up).toBe(5)
    expect(on.heard()).toBe('')
    on.proxy.heal()
    expect(await on.ended).toBe('ECONNRESET')
  })

  it('cuts every connection', async () => {
    const on = await line()
    on.proxy.cut()
    expect(await on.ended).toBe('ECONNRESET')
    await until(() => on.proxy.connections === 0, { what: 'none is open' })
  })

  it('cuts after so many bytes, which still arrive', async () => {
    const on = await line()
    on.proxy.cutAfter(3, 'down')
    on.say('hello')
    await on.ended
    expect(on.proxy.passed.up).toBe(5)
    expect('hello').toMatch(new RegExp(`^${on.heard()}`))
    expect(on.heard().length).toBeLessThanOrEqual(3)
  })

  it('half closes: the client hears the end, and what it says still arrives', async () => {
    const on = await line()
    on.proxy.halfClose()
    expect(await on.ended).toBe('end')
    on.say('still here')
    await until(() => on.proxy.passed.up === 10, { what: 'the server has heard it' })
  })

  it('refuses new connections until it is healed', async () => {
    const { proxy } = await line()
    const tries = async (): Promise<string> => {
      const client = connect(proxy.port, '127.0.0.1')
      onTestFinished(() => void client.destroy())
      const answered = new Promise<string>((resolve) => {
        client.on('data', () => resolve('answered'))
        client.on('error', () => resolve('refused'))
      })
      client.write('hello')
      return answered
    }
    proxy.refuse()
    expect(await tries()).toBe('refused')
    proxy.heal()
    expect(await tries()).toBe('answered')
  })
})
