import { SqsFaults } from '@errand/testkit/sqs-faults'
import { describe, expect, inject, it } from 'vitest'
import { scaleLimit } from '@errand/testkit'
import { Corner, drain, ids, publish, subscribe, tickets, until } from './sqs.ts'

const url = inject('sqs')
/** A ticket that is hidden and not handed back would come too late for these tests. */
const visibility = '60s'

describe.skipIf(url === undefined).concurrent('stopping', () => {
  it('an idle worker stops within two seconds, with long polls open on every lane', async () => {
    await using corner = new Corner(url!)
    const counter = new SqsFaults({ seed: 1 })
    const subscription = await subscribe(corner.open({ client: corner.faulty(counter), visibility }), 'media')
    const waiting = subscription.next(10, new AbortController().signal)
    // Each lane was asked whether it has tickets, and is listened to.
    await until(() => counter.requests['ReceiveMessage'] === 8)
    const since = performance.now()
    await subscription.close()
    expect(performance.now() - since).toBeLessThan(scaleLimit(2_000))
    expect(await waiting).toEqual([])
  })

  it('a ticket that an open poll brings after the stop is handed back at once', async () => {
    await using corner = new Corner(url!)
    const driver = corner.open({ visibility })
    const publisher = corner.open({ visibility })
    // Both know the queue, so that nothing but the ticket is under way when it counts.
    await publish(publisher, tickets(1, 'media', 'high'))
    const stopping = await subscribe(driver, 'media')
    await drain(stopping, 1)
    const waiting = stopping.next(10, new AbortController().signal)
    const closed = stopping.close()
    expect(await waiting).toEqual([])
    const late = await publish(publisher, tickets(3, 'media', 'high'))
    await closed
    const other = await subscribe(corner.open({ visibility }), 'media')
    expect(await drain(other, 3)).toEqual(ids(late))
  })

  it('tickets that were received and not asked for, and those that were not acked, are handed back', async () => {
    await using corner = new Corner(url!)
    const driver = corner.open({ visibility })
    const all = await publish(
      driver,
      (['critical', 'high', 'normal', 'low'] as const).flatMap((lane) => tickets(1, 'media', lane)),
    )
    const stopping = await subscribe(driver, 'media')
    const [held] = await stopping.next(1, AbortSignal.timeout(scaleLimit(5_000)))
    expect(held?.ticket.lane).toBe('critical')
    await stopping.close()
    const other = await subscribe(driver, 'media')
    expect(await drain(other, 4)).toEqual(ids(all))
  })

  it('a worker that stops asking keeps nothing: what it has beyond its slots goes to others', async () => {
    await using corner = new Corner(url!)
    const all = await publish(
      corner.open({ visibility }),
      (['critical', 'high', 'normal', 'low'] as const).flatMap((lane) => tickets(1, 'media', lane)),
    )
    // All lanes are asked at once, so it receives four tickets for its one slot.
    const busy = await subscribe(corner.open({ visibility }), 'media')
    const [held] = await busy.next(1, AbortSignal.timeout(scaleLimit(5_000)))
    const other = await subscribe(corner.open({ visibility }), 'media')
    expect(await drain(other, 3)).toEqual(ids(all).filter((id) => id !== held?.ticket.id))
  })

  it('what was acked is deleted before the close ends: deletes wait for others only while it runs', async () => {
    await using corner = new Corner(url!)
    const faults = new SqsFaults({ seed: 1 })
    const driver = corner.open({ client: corner.faulty(faults), visibility })
    await publish(driver, tickets(3, 'media'))
    const subscription = await subscribe(driver, 'media')
    await drain(subscription, 3)
    await subscription.close()
    expect(faults.requests['DeleteMessageBatch']).toBe(1)
    expect(await corner.left('media')).toBe(0)
  })

  it('no poll begins after the stop', async () => {
    await using corner = new Corner(url!)
    const client = corner.client()
    let stopped = false
    let late = 0
    client.middlewareStack.add(
      (next, { commandName }) =>
        (args) => {
          if (stopped && commandName === 'ReceiveMessageCommand') late += 1
          return next(args)
        },
      { step: 'initialize' },
    )
    const driver = corner.open({ client, visibility })
    await publish(driver, tickets(100, 'media'))
    const subscription = await subscribe(driver, 'media')
    const deliveries = await subscription.next(5, AbortSignal.timeout(scaleLimit(5_000)))
    expect(deliveries.length).toBeGreaterThan(0)
    const closed = subscription.close()
    stopped = true
    expect(await subscription.next(5, AbortSignal.timeout(5_000))).toEqual([])
    await closed
    expect(late).toBe(0)
  })

  it('a client of one’s own is used and not destroyed', async () => {
    await using corner = new Corner(url!)
    const client = corner.client()
    let destroyed = false
    client.destroy = () => {
      destroyed = true
    }
    const driver = corner.open({ client })
    await publish(driver, tickets(1, 'media'))
    await driver.close()
    await driver.close()
    expect(destroyed).toBe(false)
  })
})
