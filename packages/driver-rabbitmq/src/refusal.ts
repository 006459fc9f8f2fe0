import { connect as tcpConnect, isIP } from 'node:net'
import { connect as tlsConnect } from 'node:tls'
import type { ConnectionOptions } from 'node:tls'
import type { Endpoint } from './endpoint.ts'

/** Why a broker refuses a connection: the code and the text of its answer. */
export interface Refusal {
  readonly code: number
  readonly text: string
}

/** Class and method of AMQP 0-9-1, as one number. */
const method = {
  start: 0x000a_000a,
  startOk: 0x000a_000b,
  tune: 0x000a_001e,
  tuneOk: 0x000a_001f,
  open: 0x000a_0028,
  close: 0x000a_0032,
} as const
const headerBytes = 7
const frameEnd = 0xce

/**
 * Asks a broker for a vhost once more, and reads its answer. amqplib (2.3.1) says of a refusal of the vhost only that it
 * is one, so that a name that is wrong, a right that is missing and a limit that is reached look alike.
 * @returns undefined when it refuses nothing, or does not answer in AMQP.
 */
export async function readRefusal(
  { protocol, host, port, user, password, vhost }: Endpoint,
  auth: 'plain' | 'external',
  tls: ConnectionOptions,
  timeoutMs: number,
): Promise<Refusal | undefined> {
  const to = { ...(isIP(host) ? {} : { servername: host }), ...tls, host, port }
  const socket = protocol === 'amqps' ? tlsConnect(to) : tcpConnect(to)
  socket.setTimeout(timeoutMs, () => socket.destroy())
  const mechanism = auth === 'external' ? 'EXTERNAL' : 'PLAIN'
  const response = auth === 'external' ? '' : `\0${user}\0${password}`
  try {
    socket.write(Buffer.from('AMQP\0\0\u0009\u0001', 'latin1'))
    for await (const { kind, body } of readMethods(socket)) {
      if (kind === method.start) {
        socket.write(frame(method.startOk, long(0), short(mechanism), longText(response), short('en_US')))
      } else if (kind === method.tune) {
        socket.write(frame(method.tuneOk, body))
        socket.write(frame(method.open, short(vhost), short(''), Buffer.of(0)))
      } else if (kind === method.close) {
        const length = body.readUInt8(2)
        return { code: body.readUInt16BE(0), text: body.toString('utf8', 3, 3 + length) }
      } else return undefined
    }
    return undefined
  } catch {
    return undefined
  } finally {
    socket.destroy()
  }
}

/** The methods that come on channel 0, without their frames. */
async function* readMethods(
  socket: AsyncIterable<Buffer>,
): AsyncGenerator<{ readonly kind: number; readonly body: Buffer }> {
  let bytes = Buffer.alloc(0)
  for await (const some of socket) {
    bytes = Buffer.concat([bytes, some])
    while (bytes.length >= headerBytes) {
      const end = headerBytes + bytes.readUInt32BE(3)
      if (bytes.length <= end) break
      const payload = bytes.subarray(headerBytes, end)
      bytes = bytes.subarray(end + 1)
      if (payload.length >= 4) yield { kind: payload.readUInt32BE(0), body: payload.subarray(4) }
    }
  }
}

function frame(kind: number, ...parts: readonly Buffer[]): Buffer {
  const payload = Buffer.concat([long(kind), ...parts])
  const header = Buffer.alloc(headerBytes)
  header.writeUInt8(1, 0)
  header.writeUInt32BE(payload.length, 3)
  return Buffer.concat([header, payload, Buffer.of(frameEnd)])
}

function long(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

function short(text: string): Buffer {
  const bytes = Buffer.from(text)
  return Buffer.concat([Buffer.of(bytes.length), bytes])
}

function longText(text: string): Buffer {
  const bytes = Buffer.from(text)
  return Buffer.concat([long(bytes.length), bytes])
}
