import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { Server, Socket } from 'node:net'

export interface Target {
  readonly host: string
  readonly port: number
}

/** Seen from the client: `up` goes to the server. */
export type Direction = 'up' | 'down'

/** A TCP proxy in front of a server, for tests. It can be slow, silent or gone, for one direction or both. */
export interface FaultProxy {
  readonly host: string
  readonly port: number
  /** Connections that are open now. */
  readonly connections: number
  /** Bytes that have passed in each direction, to see whether there is traffic. */
  readonly passed: Readonly<Record<Direction, number>>
  /** Bytes that a black hole has swallowed, to see whether it has done harm yet. */
  readonly swallowed: Readonly<Record<Direction, number>>
  /** The same URL, through the proxy. */
  url(of: string): string
  /** Delays everything by `ms` in each direction. 0 ends it. */
  delay(ms: number): void
  /** Swallows what goes in that direction, on open and on new connections, and keeps them open. `heal` ends it. */
  blackHole(direction?: Direction | 'both'): void
  /**
   * Forgets every open connection, as a firewall does with idle ones: they stay open, nothing passes, and neither side
   * is told. New connections work. `heal` cuts the forgotten ones.
   */
  forget(): void
  /** New connections lead to another server from now on. Open ones stay where they are, as when a name moves. */
  lead(target: Target): void
  /** Cuts every connection at once, as a lost network does (RST). New ones are accepted. */
  cut(): void
  /** Cuts every connection after this many more bytes in that direction. */
  cutAfter(bytes: number, direction?: Direction): void
  /** Sends every client the end of the stream (FIN), and still passes on what it sends. */
  halfClose(): void
  /** Refuses new connections, until `heal`. */
  refuse(): void
  /** Ends every fault. Connections with swallowed bytes are cut: their streams have a gap. */
  heal(): void
  close(): Promise<void>
}

interface Pipe {
  readonly client: Socket
  readonly server: Socket
  deaf: boolean
  forgotten: boolean
}

/**
 * Listens on a free port of the loopback address.
 * @example
 * const proxy = await startFaultProxy({ host: '127.0.0.1', port: 5672 })
 * const driver = rabbitmq(proxy.url('amqp://127.0.0.1:5672')).open(context)
 * proxy.blackHole('down') // the broker hears us, and we hear nothing
 */
export async function startFaultProxy(target: Target): Promise<FaultProxy> {
  let leadsTo = target
  const pipes = new Set<Pipe>()
  const holes = { up: false, down: false }
  const passed: Record<Direction, number> = { up: 0, down: 0 }
  const swallowed: Record<Direction, number> = { up: 0, down: 0 }
  const budget: Record<Direction, number> = { up: Infinity, down: Infinity }
  let latencyMs = 0
  let refusing = false

  function cut(pipe: Pipe): void {
    pipes.delete(pipe)
    pipe.client.resetAndDestroy()
    pipe.server.resetAndDestroy()
  }

  function cutAll(): void {
    for (const pipe of pipes) cut(pipe)
  }

  function pass(pipe: Pipe, direction: Direction, bytes: Buffer): void {
    if (holes[direction] || pipe.forgotten) {
      pipe.deaf = true
      swallowed[direction] += bytes.length
      return
    }
    passed[direction] += bytes.length
    const to = direction === 'up' ? pipe.server : pipe.client
    const whole = bytes.length < budget[direction]
    if (!to.destroyed && !to.writableEnded) to.write(whole ? bytes : bytes.subarray(0, budget[direction]))
    budget[direction] -= bytes.length
    if (whole) return
    budget[direction] = Infinity
    // The bytes that were let through must arrive before the end.
    setImmediate(cutAll)
  }

  function join(pipe: Pipe, direction: Direction): void {
    const [from, to] = direction === 'up' ? [pipe.client, pipe.server] : [pipe.server, pipe.client]
    // One timer for each piece. Node runs timers of one length in the order in which they were set.
    const later = (act: () => void): void => {
      if (latencyMs === 0) act()
      else setTimeout(act, latencyMs)
    }
    from.on('data', (bytes: Buffer) => later(() => pass(pipe, direction, bytes)))
    from.on('end', () => later(() => void (pipe.forgotten || to.end())))
    from.on('error', () => {})
    from.on('close', () => {
      // A forgotten connection does not pass on its end either.
      if (pipe.forgotten) return
      pipes.delete(pipe)
      to.destroySoon()
    })
  }

  const listener = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    if (refusing) {
      client.resetAndDestroy()
      return
    }
    const server = connect({ ...leadsTo, noDelay: true, allowHalfOpen: true })
    const pipe: Pipe = { client, server, deaf: false, forgotten: false }
    pipes.add(pipe)
    join(pipe, 'up')
    join(pipe, 'down')
  })
  const port = await listen(listener)

  return {
    host: '127.0.0.1',
    port,
    get connections() {
      return pipes.size
    },
    passed,
    swallowed,
    url(of) {
      const url = new URL(of)
      url.hostname = '127.0.0.1'
      url.port = String(port)
      return url.href
    },
    delay(ms) {
      latencyMs = ms
    },
    blackHole(direction = 'both') {
      if (direction !== 'down') holes.up = true
      if (direction !== 'up') holes.down = true
    },
    forget() {
      for (const pipe of pipes) pipe.forgotten = true
    },
    lead(to) {
      leadsTo = to
    },
    cut: cutAll,
    cutAfter(bytes, direction = 'up') {
      budget[direction] = bytes
    },
    halfClose() {
      for (const { client } of pipes) client.end()
    },
    refuse() {
      refusing = true
    },
    heal() {
      holes.up = false
      holes.down = false
      budget.up = Infinity
      budget.down = Infinity
      latencyMs = 0
      refusing = false
      for (const pipe of pipes) if (pipe.deaf || pipe.forgotten) cut(pipe)
    },
    async close() {
      cutAll()
      if (!listener.listening) return
      listener.close()
      await once(listener, 'close')
    },
  }
}

async function listen(listener: Server): Promise<number> {
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const address = listener.address()
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port')
  return address.port
}
