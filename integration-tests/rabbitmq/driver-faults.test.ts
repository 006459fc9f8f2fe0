// What the driver does while its broker fails, on a node that these tests kill.
import { execFileSync } from 'node:child_process'
import { chmodSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { systemClock } from '@errand/core/ports'
import type { Driver, JobLog } from '@errand/core/ports'
import { rabbitmq } from '@errand/driver-rabbitmq'
import type { RabbitmqOptions } from '@errand/driver-rabbitmq'
import { quietLogger, until, workerRef } from '@errand/testkit'
import { freePort } from '../services/free-port.ts'
import type { PrivateRabbitmq } from '../services/private-rabbitmq.ts'
import { consume, makeTickets, publishAll } from './consumer.ts'
import { canHaveNode, nodeOfItsOwn } from './node.ts'

let node: PrivateRabbitmq
let tlsPort: number

function open(options: Partial<RabbitmqOptions> = {}): Driver {
  const log: JobLog = undefined as never
  const driver = rabbitmq({ url: node.url, ...options }).open({
    logger: quietLogger,
    clock: systemClock,
    log,
  })
  onTestFinished(() => driver.close())
  return driver
}

/** A driver that publishes, one that consumes, and a queue of this test's own. */
function scene(queue: string) {
  const publisher = open()
  const consumer = consume(open(), queue)
  onTestFinished(() => consumer.stop())
  return { publisher, consumer, queue }
}

describe.skipIf(!canHaveNode)('a RabbitMQ node that burns', () => {
  beforeAll(async () => {
    tlsPort = await freePort()
    node = await nodeOfItsOwn({ config: withTls })
  })
  afterAll(() => node?.stop())

  it('an operator closes all connections: tickets come again by themselves', async () => {
    const { publisher, consumer, queue } = scene('closed')
    const before = makeTickets(20, queue)
    await publishAll(publisher, before)
    await consumer.received(before)
    for (let round = 0; round < 3; round += 1) {
      await node.rabbitmqctl('close_all_connections', 'an operator was here')
      const after = makeTickets(20, queue)
      await publishAll(publisher, after)
      await consumer.received(after)
    }
    expect(consumer.failures.every((failure) => failure.includes('was lost'))).toBe(true)
  })

  it('the node is restarted: what it had accepted is delivered, and what it had not is reported', async () => {
    const { publisher, consumer, queue } = scene('restarted')
    await until(() => consumer.failures.length === 0)
    const waiting = makeTickets(50, 'restarted-backlog')
    await publishAll(publisher, waiting)
    await node.shutDown()
    await expect(publisher.publish(makeTickets(1, queue))).rejects.toMatchObject({ code: 'E_DRIVER' })
    await node.start()
    const after = makeTickets(20, queue)
    await publishAll(publisher, after)
    await consumer.received(after)
    const backlog = consume(open(), 'restarted-backlog')
    onTestFinished(() => backlog.stop())
    await backlog.received(waiting)
  })

  it('the node is killed in the middle of publishing: no accepted ticket is lost', async () => {
    const { publisher, consumer, queue } = scene('killed')
    const first = makeTickets(1, queue)
    await publishAll(publisher, first)
    await consumer.received(first)
    // RabbitMQ 3.10 leaves a quorum queue without a leader for good when it is killed in the seconds after the queue was
    // declared. This test is about the driver, so it waits.
    const declaredMs = performance.now()
    await until(() => performance.now() - declaredMs > 5_000)
    const tickets = makeTickets(2_000, queue)
    const accepted: typeof tickets = []
    const publishing = (async () => {
      for (let from = 0; from < tickets.length; from += 50) {
        const report = await publisher.publish(tickets.slice(from, from + 50)).catch(() => undefined)
        accepted.push(...(report?.accepted ?? []))
      }
    })()
    await until(() => accepted.length >= 200, { what: 'publishing is under way', withinMs: 30_000 })
    await node.kill()
    await node.start()
    await publishing
    await consumer.received(accepted, 30_000)
    const after = makeTickets(20, queue)
    await publishAll(publisher, after)
    await consumer.received(after)
  })

  it('the node is wiped: queues are declared again, and everything that is published again arrives', async () => {
    const { publisher, consumer, queue } = scene('wiped')
    const lost = makeTickets(20, 'wiped-backlog')
    await publishAll(publisher, lost)
    await node.shutDown()
    node.wipe()
    await node.start()
    expect(
      await until(async () => (await publisher.depth('wiped-backlog').catch(() => undefined)) === 0),
    ).toBe(true)
    const after = makeTickets(20, queue)
    await publishAll(publisher, after)
    await consumer.received(after)
  })

  it('a memory alarm: publishers are told, consumers go on, and all is well when it is over', async () => {
    const { publisher, queue } = scene('alarm')
    const waiting = makeTickets(50, 'alarm-backlog')
    await publishAll(publisher, waiting)
    const backlog = consume(open(), 'alarm-backlog')
    onTestFinished(() => backlog.stop())
    await backlog.received(waiting.slice(0, 1))

    await node.rabbitmqctl('set_vm_memory_high_watermark', 'absolute', '1')
    const refused = await until(
      () =>
        publisher.publish(makeTickets(1, queue)).then(
          () => undefined,
          (error: unknown) => error as Error,
        ),
      { what: 'the publisher is told' },
    )
    expect(refused).toMatchObject({ code: 'E_DRIVER', message: expect.stringContaining('memory') })
    await backlog.received(waiting)
    const late = consume(open(), 'alarm-backlog')
    onTestFinished(() => late.stop())

    await node.rabbitmqctl('set_vm_memory_high_watermark', 'absolute', '1GB')
    const after = makeTickets(20, 'alarm-backlog')
    await publishAll(publisher, after)
    await until(() => after.every(({ id }) => backlog.got.includes(id) || late.got.includes(id)))
  })

  it('a user with the least rights publishes, consumes and looks, and declares nothing', async () => {
    const prefix = 'least'
    const queues = `^${prefix}:.*`
    await node.rabbitmqctl('add_user', 'limited', 'secret')
    await node.rabbitmqctl('set_permissions', 'limited', '^$', `^amq\\.default$`, queues)
    const limited = { url: node.url.replace('guest:guest', 'limited:secret'), prefix }

    const ambitious = open(limited)
    await expect(ambitious.subscribe('q', { worker: workerRef() })).rejects.toMatchObject({
      code: 'E_DRIVER',
      message: expect.stringContaining('declare: false'),
    })

    await (await open({ prefix }).subscribe('q', { worker: workerRef() })).close()
    const careful = open({ ...limited, declare: false })
    const tickets = makeTickets(20, 'q')
    await publishAll(careful, tickets)
    expect(await careful.depth('q')).toBe(20)
    const consumer = consume(careful, 'q')
    onTestFinished(() => consumer.stop())
    await consumer.received(tickets)
    await careful.purge('q')
  })

  it('a user who may not write is told which right is missing', async () => {
    await node.rabbitmqctl('add_user', 'reader', 'secret')
    await node.rabbitmqctl('set_permissions', 'reader', '.*', '^$', '.*')
    const reader = open({ url: node.url.replace('guest:guest', 'reader:secret'), prefix: 'reader' })
    await expect(reader.publish(makeTickets(1, 'q'))).rejects.toMatchObject({
      code: 'E_DRIVER',
      message: expect.stringContaining('amq.default'),
    })
  })

  it('speaks TLS to a broker whose signer it is given, and to no other', async () => {
    const url = `amqps://guest:guest@127.0.0.1:${tlsPort}`
    const ca = readFileSync(join(node.folder, 'cert.pem'))
    const driver = open({ url, tls: { ca, serverName: 'localhost' } })
    const tickets = makeTickets(5, 'tls')
    await publishAll(driver, tickets)
    const consumer = consume(driver, 'tls')
    onTestFinished(() => consumer.stop())
    await consumer.received(tickets)
    await expect(open({ url }).depth('tls')).rejects.toMatchObject({
      code: 'E_DRIVER',
      message: expect.stringContaining('tls.ca'),
    })
    await expect(
      open({ url: url.replace(String(tlsPort), String(node.port)) }).depth('tls'),
    ).rejects.toMatchObject({
      message: expect.stringContaining('TLS'),
    })
  })

  it('a cluster’s nodes are tried in turn', async () => {
    const driver = open({ url: [`amqp://127.0.0.1:${await freePort()}`, node.url] })
    await until(
      () =>
        driver.depth('q').then(
          () => true,
          () => false,
        ),
      { what: 'the second node answers' },
    )
  })
})

function withTls(folder: string): readonly string[] {
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost']
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-keyout', key, '-out', cert, ...subject],
    { stdio: 'ignore' },
  )
  for (const file of [key, cert]) chmodSync(file, 0o644)
  return [
    `listeners.ssl.local = 127.0.0.1:${tlsPort}`,
    `ssl_options.cacertfile = ${cert}`,
    `ssl_options.certfile = ${cert}`,
    `ssl_options.keyfile = ${key}`,
    'ssl_options.verify = verify_none',
  ]
}
