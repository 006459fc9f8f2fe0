import { describe, expect, inject, test } from 'vitest'
import { newTicket, until, workerRef } from '@errand/testkit'
import { gated, work } from '../fleet/app/jobs.ts'
import { openGate, readLedger } from '../fleet/app/ledger.ts'
import { allEnded, pause } from '../fleet/looks.ts'
import { startWorker } from '../fleet/member.ts'
import type { Scene } from '../fleet/scene.ts'
import { scene } from '../fleet/shared.ts'
import { brokerQueue, findLane, onBroker } from './broker.ts'

const url = inject('amqp')
const publishGraceMs = 2_000

interface Stage extends Scene {
  /** The broker's queue of normal jobs. */
  readonly lane: string
  /** Messages that wait in it. */
  readonly messages: () => Promise<number | undefined>
  /** Jobs of this many milliseconds, dispatched at once; their ids. */
  readonly dispatch: (count: number, ms?: number) => Promise<readonly string[]>
  /** The jobs that have begun, in their order. */
  readonly begun: () => readonly string[]
}

/** Jobs that wait until the test opens the gate. Few enough for one message. */
const gates = (count: number) => Array.from({ length: count }, (_, n) => gated.with({ n }))

async function setStage(broker: string): Promise<Stage> {
  const on = await scene('rabbitmq', { publishGraceMs })
  const lane = brokerQueue(on.prefix, 'work', 'normal')
  return {
    ...on,
    lane,
    messages: async () => (await findLane(broker, lane))?.waiting,
    async dispatch(count, ms = 0) {
      const jobs = Array.from({ length: count }, (_, n) => work.with({ n, failures: 0, ms }))
      return (await on.errand.dispatchMany(jobs)).map(({ id }) => id)
    },
    begun: () => readLedger(on.ledger).flatMap(({ jobId, mark }) => (mark === 'began' ? [jobId] : [])),
  }
}

describe.skipIf(url === undefined)('messages of RabbitMQ with several tickets', () => {
  const broker = String(url)

  test('a bulk is a few messages, and one slot runs it in about the order of dispatch', async () => {
    const on = await setStage(broker)
    const ids = await on.dispatch(60, 1)
    // Four publishes go at the same time, each with a part of the bulk.
    await until(async () => (await on.messages()) === 4, { what: 'four messages wait', pause })
    await startWorker({ ...on.env, CONCURRENCY: '1' })
    await allEnded(on.log, 60_000)
    // A worker holds two messages at a time, and may alternate between them. None waits for those at the end.
    const begun = on.begun()
    expect(begun.toSorted()).toEqual(ids.toSorted())
    for (const [index, id] of ids.entries()) expect(Math.abs(begun.indexOf(id) - index)).toBeLessThan(32)
    await until(async () => (await on.messages()) === 0, { what: 'no message is left', pause })
    expect(await on.violations()).toBe('')
  })

  test('workers with few slots share a message, and each of its jobs runs once', async () => {
    const on = await setStage(broker)
    const receipts = await on.errand.dispatchMany(gates(12))
    const env = { ...on.env, CONCURRENCY: '2' }
    const workers = [await startWorker(env), await startWorker(env)]
    await until(() => on.begun().length === 4, { what: 'two begin at each worker', pause })
    const ran = await Promise.all(receipts.map(({ id }) => on.log.readHistory(id)))
    const by = ran.flat().flatMap(({ type, worker }) => (type === 'started' ? [worker] : []))
    for (const { id } of workers) expect(by.filter((worker) => worker === id)).toHaveLength(2)
    openGate(on.ledger)
    await allEnded(on.log, 60_000)
    expect(on.begun()).toHaveLength(12)
    expect(await on.violations()).toBe('')
  })

  test('a worker that is killed in the middle of a message leaves the rest of it to the others', async () => {
    const on = await setStage(broker)
    const receipts = await on.errand.dispatchMany(gates(12))
    const victim = await startWorker({ ...on.env, CONCURRENCY: '3' })
    await until(() => on.begun().length === 3, { what: 'three of twelve have begun', pause })
    victim.signal('SIGKILL')
    await victim.exited
    openGate(on.ledger)
    await startWorker(on.env)
    await allEnded(on.log, 60_000)
    const ran = await Promise.all(receipts.map(({ id }) => on.log.readHistory(id)))
    const lost = ran.filter((events) => events.some(({ type }) => type === 'lost'))
    expect(lost).toHaveLength(3)
    expect(await on.violations()).toBe('')
  })

  test('a message is repeated, and forged around a good id: its neighbours run, each once', async () => {
    const on = await setStage(broker)
    const [finished = ''] = await on.dispatch(1)
    const worker = await startWorker({ ...on.env, CONCURRENCY: '4' })
    await allEnded(on.log, 30_000)
    const later = await on.errand.dispatch(work, { n: 0, failures: 0, ms: 0 }, { delay: '1h' })
    const ids = await on.dispatch(30, 20)
    const { logId } = await on.log.connect()
    const ticket = newTicket({ queue: 'work', log: logId, id: ids.at(-1) ?? '' })
    const more = [
      finished,
      later.id,
      "'; drop table jobs; --",
      newTicket().id,
      'x'.repeat(2_000),
      ...ids.slice(0, 10),
    ]
    await onBroker(broker, async (channel) => {
      for (let copy = 1; copy <= 5; copy += 1) {
        channel.sendToQueue(on.lane, Buffer.from(JSON.stringify({ ...ticket, more })))
        channel.sendToQueue(on.lane, Buffer.from(JSON.stringify({ ...ticket, more: [...more, 7] })))
        channel.sendToQueue(on.lane, Buffer.from(JSON.stringify({ ...ticket, more: ids.concat(ids) })))
      }
    })
    await until(() => ids.every((id) => on.begun().includes(id)), { what: 'all have run', pause })
    await until(async () => (await on.messages()) === 0, { what: 'no message is left', pause })
    expect((await on.log.readHistory(later.id)).map(({ type }) => type)).toEqual(['dispatched'])
    await on.errand.jobs.cancel(later.id, { by: 'the test' })
    await allEnded(on.log, 30_000)
    expect(on.begun()).toHaveLength(31)
    expect(worker.output()).toContain('a message that is not a ticket was set aside')
    expect(await on.violations()).toBe('')
  })

  test('a purge cancels the jobs and removes the messages, also one that a worker had taken a part of', async () => {
    const on = await setStage(broker)
    await on.errand.dispatchMany(gates(12))
    await startWorker({ ...on.env, CONCURRENCY: '1' })
    await until(() => on.begun().length === 1, { what: 'one has begun', pause })
    await until(async () => (await on.messages()) === 1, { what: 'the message is back', pause })
    expect(await on.errand.queues.purge('work', 'the test')).toBe(11)
    expect(await on.messages()).toBe(0)
    openGate(on.ledger)
    await allEnded(on.log, 30_000)
    expect(on.begun()).toHaveLength(1)
  })

  test('while a worker of an older build is alive, each ticket has a message of its own', async () => {
    const on = await setStage(broker)
    const old = workerRef({ leaseMs: 60_000 })
    const beat = { queues: ['work'], taking: true, progress: [] }
    await on.log.beat(old, beat)
    await on.dispatch(20)
    await until(async () => (await on.messages()) === 20, { what: 'twenty messages wait', pause })
    await on.log.leave(old)
    await startWorker(on.env)
    await allEnded(on.log, 30_000)
    expect(await on.violations()).toBe('')
  })

  test('an older build that takes such a message all the same loses no job of it', async () => {
    const on = await setStage(broker)
    const ids = await on.dispatch(12)
    await until(async () => (await on.messages()) === 1, { what: 'the message waits', pause })
    // It reads the first ticket alone, and acks the message when it has claimed that job.
    const text = await onBroker(broker, async (channel) => {
      const message = await channel.get(on.lane, { noAck: true })
      return message === false ? '' : message.content.toString()
    })
    expect(JSON.parse(text)).toMatchObject({ id: ids[0], queue: 'work', lane: 'normal' })
    expect(await on.messages()).toBe(0)
    await startWorker(on.env)
    // By default relays publish again after half a minute. Here the grace is two seconds.
    await allEnded(on.log, 60_000)
    expect(await on.violations()).toBe('')
  })
})
