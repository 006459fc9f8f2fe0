import { describe, expect, inject, it, onTestFinished } from 'vitest'
import { isErrandError, lanes } from '@errand/core/ports'
import type { Driver, Logger, PublishReport, Ticket } from '@errand/core/ports'
import { newTicket, quietLogger, scaleLimit, startFaultProxy, until, workerRef } from '@errand/testkit'
import type { RabbitmqOptions } from '../src/index.ts'
import {
  deleteQueues,
  newPrefix,
  nobody,
  onBroker,
  openDriver,
  publishRaw,
  recordingLogger,
  toQueueName,
} from './broker.ts'

const url = inject('amqp')

/** A driver behind a proxy, on queues of its own that are deleted when the test is over. */
async function scene(options: Partial<RabbitmqOptions> = {}, logger: Logger = quietLogger) {
  const broker = String(url)
  const prefix = newPrefix()
  const { hostname, port } = new URL(broker)
  const proxy = await startFaultProxy({ host: hostname, port: Number(port || 5672) })
  const driver = openDriver({ url: proxy.url(broker), prefix, ...options }, logger)
  onTestFinished(async () => {
    await driver.close()
    await proxy.close()
    await deleteQueues(broker, prefix, ['q', 'other'])
  })
  return { broker, prefix, proxy, driver }
}

const makeTickets = (count: number, queue = 'q'): Ticket[] =>
  Array.from({ length: count }, () => newTicket({ queue }))
const listIds = (items: readonly Ticket[]): string[] => items.map(({ id }) => id).toSorted()

/** Acks every ticket until this many have come, and returns them. */
async function receive(driver: Driver, count: number, queue = 'q'): Promise<Ticket[]> {
  const subscription = await driver.subscribe(queue, { worker: workerRef() })
  const got: Ticket[] = []
  const tooLong = AbortSignal.timeout(scaleLimit(20_000))
  while (got.length < count && !tooLong.aborted) {
    const deliveries = await subscription.next(10, tooLong)
    for (const delivery of deliveries) {
      got.push(delivery.ticket)
      await delivery.ack()
    }
  }
  await subscription.close()
  return got
}

async function catchFailure(work: Promise<unknown>): Promise<{ code: string; message: string }> {
  return work.then(
    () => expect.fail('it should have failed'),
    (error: unknown) => error as { code: string; message: string },
  )
}

describe.skipIf(url === undefined)('a broker that fails', () => {
  it('confirms that never come leave the tickets unknown, in time, and the next publish works', async () => {
    const { logger, lines } = recordingLogger()
    const { proxy, driver } = await scene({ publishTimeout: '2s' }, logger)
    await driver.publish(makeTickets(1))
    proxy.blackHole('down')
    const began = performance.now()
    const silent: PublishReport = await driver.publish(makeTickets(3))
    expect(silent).toEqual({ accepted: [], refused: [] })
    expect(performance.now() - began).toBeLessThan(scaleLimit(10_000))
    // A connection that answers nothing is not trusted with the next tickets.
    await until(() => lines.some(({ facts }) => JSON.stringify(facts).includes('no confirm within 2000 ms')))
    proxy.heal()
    const tickets = makeTickets(2)
    const report = await until(() => driver.publish(tickets).catch(() => undefined), {
      what: 'publishing works again',
    })
    expect(listIds(report.accepted)).toEqual(listIds(tickets))
  })

  it('a connection that is cut in the middle of a batch throws, and accepted tickets are still there', async () => {
    const { proxy, driver } = await scene()
    const before = makeTickets(5)
    await driver.publish(before)
    proxy.cutAfter(2_000, 'up')
    expect(await catchFailure(driver.publish(makeTickets(300)))).toMatchObject({ code: 'E_DRIVER' })
    const got = await until(() => receive(driver, 5).catch(() => undefined), {
      what: 'tickets come',
      withinMs: 20_000,
    })
    expect(listIds(got)).toEqual(expect.arrayContaining(listIds(before)))
  })

  it('a half-closed connection is noticed at once, and replaced', async () => {
    const { proxy, driver } = await scene()
    const subscription = await driver.subscribe('q', { worker: workerRef() })
    const waiting = catchFailure(subscription.next(1, nobody))
    proxy.halfClose()
    expect(await waiting).toMatchObject({ code: 'E_DRIVER', message: expect.stringContaining('was lost') })
    const tickets = makeTickets(1)
    await until(() => driver.publish(tickets).catch(() => undefined))
    expect(listIds(await receive(driver, 1))).toEqual(listIds(tickets))
  })

  it('a network that forgets a connection tells nobody: tickets come again within ten seconds', async () => {
    const { proxy, driver } = await scene()
    const subscription = await driver.subscribe('q', { worker: workerRef() })
    const waiting = catchFailure(subscription.next(1, nobody))
    proxy.forget()
    const sinceMs = performance.now()
    // On any machine: what it waits for is counted by its own timers.
    expect(await waiting).toMatchObject({
      code: 'E_DRIVER',
      message: expect.stringContaining('silent for 7.5 s'),
    })
    const tickets = makeTickets(1)
    await until(() => driver.publish(tickets).catch(() => undefined))
    expect(listIds(await receive(driver, 1))).toEqual(listIds(tickets))
    expect(performance.now() - sinceMs).toBeLessThan(scaleLimit(10_000))
  })

  it('a connection whose broker sends nothing but heartbeats lives on', async () => {
    const { logger, lines } = recordingLogger()
    const { proxy, driver } = await scene({ heartbeat: '1s' }, logger)
    await driver.publish(makeTickets(1))
    const passed = proxy.passed.down
    // A heartbeat is a frame of eight bytes: far more of them than are given up for.
    await until(() => proxy.passed.down >= passed + 8 * 8, { withinMs: 20_000 })
    expect(lines.filter(({ facts }) => JSON.stringify(facts).includes('silent'))).toEqual([])
  })

  it('a slow broker is slow, and nothing worse', async () => {
    const { proxy, driver } = await scene()
    proxy.delay(50)
    const tickets = makeTickets(20)
    expect(listIds((await driver.publish(tickets)).accepted)).toEqual(listIds(tickets))
    expect(listIds(await receive(driver, 20))).toEqual(listIds(tickets))
  })

  it('a broker that cannot be reached fails each call with what to check, and no credentials', async () => {
    const { proxy, broker, prefix } = await scene()
    proxy.refuse()
    const { logger, lines } = recordingLogger()
    const withPassword = new URL(proxy.url(broker))
    withPassword.password = 's3cret'
    const driver = openDriver({ url: withPassword.href, prefix }, logger)
    onTestFinished(() => driver.close())
    const failure = await catchFailure(driver.publish(makeTickets(1)))
    expect(failure).toMatchObject({
      code: 'E_DRIVER',
      message: expect.stringMatching(/RabbitMQ at amqp:\/\/127\.0\.0\.1:\d+\//),
    })
    expect(await catchFailure(driver.depth('q'))).toMatchObject({ code: 'E_DRIVER' })
    expect(JSON.stringify([failure.message, lines])).not.toContain('s3cret')
  })

  it('a wrong password is not tried in a loop: only when somebody asks', async () => {
    const { proxy, broker, prefix } = await scene()
    const wrong = new URL(proxy.url(broker))
    wrong.password = 's3cret'
    const driver = openDriver({ url: wrong.href, prefix })
    onTestFinished(() => driver.close())
    await catchFailure(driver.subscribe('q', { worker: workerRef() }))
    const tried = proxy.passed.up
    await expect(until(() => proxy.passed.up > tried, { withinMs: 1_500 })).rejects.toThrow()
    await catchFailure(driver.subscribe('q', { worker: workerRef() }))
    expect(proxy.passed.up).toBeGreaterThan(tried)
  })
})

describe.skipIf(url === undefined)('queues that others change', () => {
  it('a queue that was deleted under a waiting consumer is declared again, and tickets come again', async () => {
    const { driver, broker, prefix } = await scene()
    const worker = workerRef()
    let subscription = await driver.subscribe('q', { worker })
    // RabbitMQ 4 may close the connection of who consumes from a queue that is just being deleted. A worker subscribes again.
    const waiting = subscription.next(5, nobody).catch(async (error: unknown) => {
      expect(isErrandError(error, 'E_DRIVER')).toBe(true)
      subscription = await driver.subscribe('q', { worker })
      return subscription.next(5, nobody)
    })
    await until(() => hasConsumers(broker, prefix), { what: 'the consumers are there' })
    await deleteQueues(broker, prefix, ['q'])
    await until(() => hasConsumers(broker, prefix), { what: 'the consumers are there again' })
    const [ticket] = makeTickets(1)
    expect(listIds((await driver.publish([ticket!])).accepted)).toEqual([ticket!.id])
    expect((await waiting).map((delivery) => delivery.ticket.id)).toEqual([ticket!.id])
    await subscription.close()
  })

  it('a queue that was deleted while nobody asked is declared again with the next ask', async () => {
    const { driver, broker, prefix } = await scene()
    const subscription = await driver.subscribe('q', { worker: workerRef() })
    await deleteQueues(broker, prefix, ['q'])
    const waiting = subscription.next(1, nobody)
    const [ticket] = makeTickets(1)
    await driver.publish([ticket!])
    expect((await waiting).map((delivery) => delivery.ticket.id)).toEqual([ticket!.id])
    await subscription.close()
  })

  it('tickets for a queue that was deleted are noticed, and published again once it is back', async () => {
    const { driver, broker, prefix } = await scene()
    await driver.publish(makeTickets(1))
    await deleteQueues(broker, prefix, ['q'])
    const tickets = makeTickets(3)
    expect(await driver.publish(tickets)).toEqual({ accepted: tickets, refused: [] })
    expect(await driver.depth('q')).toBe(3)
  })

  it('a queue with other arguments gives an error that names the argument; other queues live on', async () => {
    const { driver, broker, prefix } = await scene()
    const wrong = toQueueName(prefix, 'q', 'low')
    await onBroker(broker, (channel) => channel.assertQueue(wrong, { durable: true }))
    const failure = await catchFailure(driver.subscribe('q', { worker: workerRef() }))
    expect(failure.code).toBe('E_DRIVER')
    expect(failure.message).toContain(`queue "${wrong}" exists with another x-queue-type`)

    const [bad, good] = [newTicket({ queue: 'q', lane: 'low' }), newTicket({ queue: 'other', lane: 'low' })]
    const report = await driver.publish([bad, good])
    expect(report.accepted).toEqual([good])
    expect(report.refused).toEqual([{ ticket: bad, why: expect.stringContaining('x-queue-type') }])
    expect(listIds(await receive(driver, 1, 'other'))).toEqual([good.id])
  })

  it('once the wrong queue is gone everything works, without a restart', async () => {
    const { driver, broker, prefix } = await scene()
    const wrong = toQueueName(prefix, 'q', 'high')
    await onBroker(broker, (channel) => channel.assertQueue(wrong, { durable: false }))
    const ticket = newTicket({ queue: 'q', lane: 'high' })
    expect((await driver.publish([ticket])).refused).toHaveLength(1)
    await onBroker(broker, (channel) => channel.deleteQueue(wrong))
    expect((await driver.publish([ticket])).accepted).toEqual([ticket])
    expect(listIds(await receive(driver, 1))).toEqual([ticket.id])
  })

  it('a message that is no ticket leaves a log line that does not quote it', async () => {
    const { logger, lines } = recordingLogger()
    const { driver, broker, prefix } = await scene({}, logger)
    const [ticket] = makeTickets(1)
    await driver.publish([ticket!])
    await publishRaw(broker, toQueueName(prefix, 'q', 'normal'), Buffer.from('{"password":"s3cret"}'))
    const waiting = newTicket({ queue: 'q', lane: 'low' })
    await driver.publish([waiting])
    expect(listIds(await receive(driver, 2))).toEqual(listIds([ticket!, waiting]))
    const warned = lines.filter(({ level }) => level === 'warn')
    expect(warned).toHaveLength(1)
    expect(JSON.stringify(warned)).toContain('set aside')
    expect(JSON.stringify(warned)).not.toContain('s3cret')
  })

  it('an application that declares nothing finds its queues, and is told which one is missing', async () => {
    const { driver, broker, prefix, proxy } = await scene()
    const careful = openDriver({ url: proxy.url(broker), prefix, declare: false })
    onTestFinished(() => careful.close())
    const missing = await catchFailure(careful.subscribe('q', { worker: workerRef() }))
    expect(missing.message).toContain(toQueueName(prefix, 'q', 'critical'))
    expect(missing.message).toContain('declare is false')
    const ticket = newTicket({ queue: 'q' })
    expect((await careful.publish([ticket])).refused).toEqual([
      { ticket, why: expect.stringContaining('does not exist') },
    ])

    await (await driver.subscribe('q', { worker: workerRef() })).close()
    expect((await careful.publish([ticket])).accepted).toEqual([ticket])
    expect(listIds(await receive(careful, 1))).toEqual([ticket.id])
  })
})

/** Whether all lanes of queue q are there, and are being consumed. */
function hasConsumers(broker: string, prefix: string): Promise<boolean> {
  const look = onBroker(broker, async (channel) => {
    for (const lane of lanes) {
      const { consumerCount } = await channel.checkQueue(toQueueName(prefix, 'q', lane))
      if (consumerCount === 0) return false
    }
    return true
  })
  return look.catch(() => false)
}
