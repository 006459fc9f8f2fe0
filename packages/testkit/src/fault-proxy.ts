import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import type { Server, Socket } from 'node:net'

export interface Target {
  readonly host: string
  readonly port: number
}

/** Seen from the client: `up` goes to the server. */
export type Direction = 'up' | 'down'

/** A TCP proxy in front of a server, for tests: it can be slow, deaf, or gone, for one direction or both. */
export interface FaultProxy {
  readonly host: string
  readonly port: number
  /** Connections that are open now. */
  readonly connections: number
  /** Bytes that went each way so far: whether somebody is talking. */
  readonly passed: Readonly<Record<Direction, number>>
  /** Bytes that a black hole has swallowed so far: whether it has done any harm yet. */
  readonly swallowed: Readonly<Record<Direction, number>>
  /** The same URL, through the proxy. */
  url(of: string): string
  /** From now on everything takes so many milliseconds longer, each way. 0 ends it. */
  delay(ms: number): void
  /** Swallows what goes that way, on every connection and on new ones, and keeps them open. `heal` ends it. */
  blackHole(direction?: Direction | 'both'): void
  /**
   * Forgets every connection that is open now, as a firewall does with idle ones: they stay open, nothing passes, and
   * neither side is told. New ones are as before. `heal` cuts them.
   */
  forget(): void
  /** New connections lead to another server from now on; those that are open stay where they are, as when a name moves. */
  lead(target: Target): void
  /** Cuts every connection at once, as a lost network does (RST). New ones are accepted. */
  cut(): void
  /** Cuts every connection after so many more bytes have gone that way. */
  cutAfter(bytes: number, direction?: Direction): void
  /** Tells every client that the server has said its last word (FIN), and still passes on what it sends. */
  halfClose(): void
  /** Refuses new connections, until `heal`. */
  refuse(): void
  /** Ends every fault; connections whose bytes were swallowed are cut, as they can make no sense any more. */
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
    // What was let through shall arrive before the end does.
    setImmediate(cutAll)
  }

  function join(pipe: Pipe, direction: Direction): void {
    const [from, to] = direction === 'up' ? [pipe.client, pipe.server] : [pipe.server, pipe.client]
    // One timer for each piece, in order: Node runs timers of one length in the order in which they were set.
    const later = (act: () => void): void => {
      if (latencyMs === 0) act()
      else setTimeout(act, latencyMs)
    }
    from.on('data', (bytes: Buffer) => later(() => pass(pipe, direction, bytes)))
    from.on('end', () => later(() => void (pipe.forgotten || to.end())))
    from.on('error', () => {})
    from.on('close', () => {
      // Who has forgotten a connection passes on no end of it either.
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
