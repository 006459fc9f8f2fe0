import type { ReceiveMessageCommandInput } from '@aws-sdk/client-sqs'
import type { Duration } from '@errand/core/ports'
import { SqsFaults } from '@errand/testkit/sqs-faults'
import { describe, expect, inject, it } from 'vitest'
import { scaleLimit } from '@errand/testkit'
import { Corner, drain, ids, publish, subscribe, tickets, until } from './sqs.ts'

const url = inject('sqs')

/** How many long polls of 20 s, one after the other, may have begun on an idle lane since then: one, on a quiet machine. */
function countLongPolls(sinceMs: number): number {
  return 1 + Math.floor((performance.now() - sinceMs) / 20_000)
}

/** SQS bills only requests. */
describe.skipIf(url === undefined).concurrent('the requests that the driver makes', () => {
  const scene = (visibility?: Duration) => {
    const corner = new Corner(url!)
    const counter = new SqsFaults({ seed: 1 })
    const client = corner.faulty(counter)
    const driver = corner.open({ client, visibility })
    const count = (...operations: string[]) =>
      operations.reduce((sum, operation) => sum + (counter.requests[operation] ?? 0), 0)
    return { corner, client, driver, count }
  }
  const perTicket = ['SendMessageBatch', 'ReceiveMessage', 'DeleteMessageBatch']

  it.each([1, 10, 50])(
    'at a full backlog are a third of one for each job, with %i free at a time',
    async (slots) => {
      const { corner, driver, count } = scene()
      await using _ = corner
      const all = tickets(1_000, 'media')
      for (let at = 0; at < all.length; at += 500) await publish(driver, all.slice(at, at + 500))
      const subscription = await subscribe(driver, 'media')
      expect(await drain(subscription, all.length, slots)).toEqual(ids(all))
      expect(count('SendMessageBatch')).toBe(100)
      expect(count(...perTicket) / all.length).toBeLessThanOrEqual(0.35)
    },
  )

  it('gather what is published one by one', async () => {
    const { corner, driver, count } = scene()
    await using _ = corner
    await publish(driver, tickets(1, 'media'))
    const before = count('SendMessageBatch')
    await Promise.all(tickets(100, 'media').map((ticket) => publish(driver, [ticket])))
    expect(count('SendMessageBatch') - before).toBe(10)
  })

  it('gather deletes too, however far apart the acks are', async () => {
    const { corner, driver, count } = scene()
    await using _ = corner
    await publish(driver, tickets(10, 'media'))
    const subscription = await subscribe(driver, 'media')
    const sinceMs = performance.now()
    const got = await subscription.next(10, AbortSignal.timeout(scaleLimit(10_000)))
    expect(got).toHaveLength(10)
    let late = 0
    for (const delivery of got) {
      if (performance.now() - sinceMs >= 10_000) late += 1
      await delivery.ack()
      // A round trip, in which a delete of its own would have been sent.
      await driver.depth('media')
    }
    await subscription.close()
    // What is acked within ten seconds goes together. Only a very slow machine takes longer for ten round trips.
    expect(count('DeleteMessageBatch')).toBeLessThanOrEqual(1 + late)
  })

  it('gather deletes no longer than a ticket is hidden', async () => {
    // Longer on a slow machine, and still less than the ten seconds that deletes gather otherwise.
    const seconds = Math.min(8, Math.ceil(scaleLimit(3_000) / 1_000))
    const { corner, driver, count } = scene(`${seconds}s`)
    await using _ = corner
    await publish(driver, tickets(1, 'media'))
    const subscription = await subscribe(driver, 'media')
    await drain(subscription, 1)
    expect(await subscription.next(1, AbortSignal.timeout((seconds + 1) * 1_000))).toEqual([])
    expect(count('DeleteMessageBatch')).toBe(1)
  })

  it('are three for a job that comes alone, polls of the other lanes apart', async () => {
    const { corner, driver, count } = scene()
    await using _ = corner
    const subscription = await subscribe(driver, 'media')
    const sinceMs = performance.now()
    for (let round = 0; round < 10; round += 1) {
      const [ticket] = await publish(driver, tickets(1, 'media'))
      expect(await drain(subscription, 1)).toEqual([ticket!.id])
    }
    // Each lane was asked whether it has tickets, and then listened to, for 20 s at a time.
    expect(count(...perTicket)).toBeLessThanOrEqual(30 + 4 + 4 * countLongPolls(sinceMs))
  })

  // `integration-tests/sqs` counts them for a while, with whole workers.
  it('are one long poll of 20 s for each SQS queue of an idle worker, however often it asks', async () => {
    const { corner, driver, client, count } = scene()
    await using _ = corner
    const waits: number[] = []
    client.middlewareStack.add(
      (next, { commandName }) =>
        (args) => {
          if (commandName === 'ReceiveMessageCommand')
            waits.push((args.input as ReceiveMessageCommandInput).WaitTimeSeconds ?? 0)
          return next(args)
        },
      { step: 'initialize' },
    )
    const subscription = await subscribe(driver, 'media')
    // A worker asks again and again: other queues of its pool want their turn, and it takes overdue jobs in between.
    const ask = async (): Promise<void> =>
      expect(await subscription.next(10, AbortSignal.timeout(200))).toEqual([])
    const sinceMs = performance.now()
    await until(() => waits.length >= 8, { what: 'all lanes are listened to', pause: ask })
    for (let asked = 0; asked < 15; asked += 1) await ask()
    // At first each lane is asked whether it has tickets.
    const mostLong = 4 * countLongPolls(sinceMs)
    expect(waits.filter((seconds) => seconds === 0)).toHaveLength(4)
    expect(waits.filter((seconds) => seconds === 20).length).toBeLessThanOrEqual(mostLong)
    expect(count('ReceiveMessage')).toBeLessThanOrEqual(4 + mostLong)
  })

  it('are none while the worker is busy', async () => {
    const { corner, driver, count } = scene()
    await using _ = corner
    const subscription = await subscribe(driver, 'media')
    const [ticket] = await publish(driver, tickets(1, 'media'))
    expect(await drain(subscription, 1)).toEqual([ticket!.id])
    await until(() => count('ReceiveMessage') >= 4, { what: 'all lanes were asked' })
    const before = count('ReceiveMessage')
    await publish(driver, tickets(30, 'media'))
    expect(await driver.depth('media')).toBeGreaterThanOrEqual(20)
    expect(count('ReceiveMessage')).toBe(before)
  })

  it('bring many tens at once where many slots are free', async () => {
    const corner = new Corner(url!)
    await using _ = corner
    const client = corner.client()
    let open = 0
    let mostOpen = 0
    client.middlewareStack.add(
      (next, { commandName }) =>
        async (args) => {
          if (commandName !== 'ReceiveMessageCommand') return next(args)
          mostOpen = Math.max(mostOpen, (open += 1))
          return next(args).finally(() => (open -= 1))
        },
      { step: 'initialize' },
    )
    const driver = corner.open({ client })
    const all = await publish(driver, tickets(400, 'media'))
    const subscription = await subscribe(driver, 'media')
    expect(await drain(subscription, all.length, 400)).toEqual(ids(all))
    // The three that listen on the other lanes are no help.
    expect(mostOpen).toBeGreaterThanOrEqual(3 + 8)
  })
})
