import {
  CreateQueueCommand,
  ListQueuesCommand,
  ListQueueTagsCommand,
  SetQueueAttributesCommand,
} from '@aws-sdk/client-sqs'
import { describe, expect, inject, it } from 'vitest'
import { scaleLimit } from '@errand/testkit'
import { sqsName } from '../src/names.ts'
import { Corner, drain, ids, publish, subscribe, tickets } from './sqs.ts'

const url = inject('sqs')

describe.skipIf(url === undefined).concurrent('the SQS queues', () => {
  const namesIn = async (corner: Corner): Promise<string[]> => {
    const { QueueUrls } = await corner
      .client()
      .send(new ListQueuesCommand({ QueueNamePrefix: corner.prefix }))
    return (QueueUrls ?? []).map((each) => each.split('/').at(-1)!.slice(corner.prefix.length)).toSorted()
  }

  it('are one for each queue and lane, made when they are needed and tagged', async () => {
    await using corner = new Corner(url!)
    const driver = corner.open({ tags: { team: 'photos' } })
    await publish(driver, tickets(1, 'media.small', 'high'))
    expect(await namesIn(corner)).toEqual(['media__small-high'])
    const { Tags } = await corner
      .client()
      .send(new ListQueueTagsCommand({ QueueUrl: await corner.getUrl('media.small', 'high') }))
    expect(Tags).toEqual({ team: 'photos', 'errand:queue': 'media.small', 'errand:lane': 'high' })
    await subscribe(driver, 'media.small')
    expect(await namesIn(corner)).toHaveLength(4)
  })

  it('are not made by looking: counting and purging leave no queue behind', async () => {
    await using corner = new Corner(url!)
    const driver = corner.open()
    expect(await driver.depth('media')).toBe(0)
    await driver.purge('media')
    expect(await namesIn(corner)).toEqual([])
  })

  it('are looked up only with createQueues: false, and the one that is missing is named', async () => {
    await using corner = new Corner(url!)
    const driver = corner.open({ createQueues: false })
    const missing = {
      code: 'E_DRIVER',
      message: expect.stringMatching(
        new RegExp(`${sqsName(corner.prefix, 'media', 'normal')}.*createQueues: true`),
      ),
    }
    await expect(driver.publish(tickets(1, 'media'))).rejects.toMatchObject(missing)
    for (const lane of ['critical', 'high', 'low'] as const) await corner.getUrl('media', lane)
    await expect(subscribe(driver, 'media')).rejects.toMatchObject(missing)
    expect(await namesIn(corner)).toHaveLength(3)
    await corner.getUrl('media', 'normal')
    const all = await publish(driver, tickets(3, 'media'))
    expect(await drain(await subscribe(driver, 'media'), 3)).toEqual(ids(all))
  })

  it('may be there already, with attributes that an operator chose', async () => {
    await using corner = new Corner(url!)
    const client = corner.client()
    const { QueueUrl } = await client.send(
      new CreateQueueCommand({
        QueueName: sqsName(corner.prefix, 'media', 'normal'),
        Attributes: { VisibilityTimeout: '600' },
      }),
    )
    await client.send(
      new SetQueueAttributesCommand({ QueueUrl, Attributes: { MessageRetentionPeriod: '86400' } }),
    )
    const driver = corner.open()
    const all = await publish(driver, tickets(2, 'media'))
    expect(await drain(await subscribe(driver, 'media'), 2)).toEqual(ids(all))
  })

  it('can be made by many at once', async () => {
    await using corner = new Corner(url!)
    const drivers = Array.from({ length: 8 }, () => corner.open())
    const all = await Promise.all(drivers.map((driver) => publish(driver, tickets(1, 'media'))))
    expect(await drain(await subscribe(drivers[0]!, 'media'), 8)).toEqual(ids(all.flat()))
  })

  it('a high job does not wait for the poll of a low lane', async () => {
    await using corner = new Corner(url!)
    const driver = corner.open()
    const publisher = corner.open()
    const subscription = await subscribe(driver, 'media')
    // All lanes are known to be empty, and listened to.
    const waiting = subscription.next(1, new AbortController().signal)
    const since = performance.now()
    const [ticket] = await publish(publisher, tickets(1, 'media', 'critical'))
    expect((await waiting).map((delivery) => delivery.ticket)).toEqual([ticket])
    // A poll of another lane would have taken twenty seconds.
    expect(performance.now() - since).toBeLessThan(scaleLimit(5_000))
  })
})
