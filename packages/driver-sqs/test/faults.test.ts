import {
  ChangeMessageVisibilityBatchCommand,
  DeleteMessageBatchCommand,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
} from '@aws-sdk/client-sqs'
import type { SQSClient } from '@aws-sdk/client-sqs'
import { SqsFaults } from '@errand/testkit/sqs-faults'
import type { SqsFaultRates } from '@errand/testkit/sqs-faults'
import { describe, expect, inject, it } from 'vitest'
import { Corner, until } from './sqs.ts'

const url = inject('sqs')

/** The faults themselves, or a green conformance suite on top of them would say nothing. */
describe.skipIf(url === undefined).concurrent('the faults of SQS that the testkit makes', () => {
  const scene = async (rates: SqsFaultRates, maxAttempts = 1) => {
    const corner = new Corner(url!)
    const faults = new SqsFaults({ seed: 42 })
    const client = corner.faulty(faults, { maxAttempts })
    const QueueUrl = await corner.getUrl('media', 'normal')
    faults.rates = rates
    const send = (...bodies: string[]) =>
      client.send(
        new SendMessageBatchCommand({
          QueueUrl,
          Entries: bodies.map((MessageBody, at) => ({ Id: `${at}`, MessageBody })),
        }),
      )
    const receive = async (from: SQSClient = client, max = 10) =>
      (
        await from.send(
          new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: max, VisibilityTimeout: 60 }),
        )
      ).Messages ?? []
    const left = () => corner.left('media')
    return { corner, faults, client, QueueUrl, send, receive, left }
  }
  const bodies = (messages: readonly { readonly Body?: string | undefined }[]) =>
    messages.map(({ Body }) => Body)

  it('throttle and unavailable: the request fails, in the SDK’s own words, and each attempt is counted', async () => {
    const { corner, faults, send, left } = await scene({ throttle: 1 }, 3)
    await using _ = corner
    await expect(send('a')).rejects.toMatchObject({ name: 'RequestThrottled', $metadata: { attempts: 3 } })
    faults.rates = { unavailable: 1 }
    await expect(send('a')).rejects.toMatchObject({
      name: 'ServiceUnavailable',
      $metadata: { attempts: 3 },
    })
    expect(faults.requests).toEqual({ SendMessageBatch: 6 })
    expect(faults.made).toEqual({ throttle: 3, unavailable: 3 })
    expect(await left()).toBe(0)
  })

  it('lostReply: the send is carried out, and the SDK, which cannot know, repeats it', async () => {
    const { corner, faults, send, left } = await scene({ lostReply: 1 }, 3)
    await using _ = corner
    await expect(send('a')).rejects.toMatchObject({ code: 'ECONNRESET' })
    expect(await left()).toBe(3)
    expect(faults.made).toEqual({ lostReply: 3 })
  })

  it('duplicate: what was received comes once more, even when it was deleted', async () => {
    const { corner, faults, client, QueueUrl, send, receive, left } = await scene({ duplicate: 1 })
    await using _ = corner
    await send('a', 'b')
    const first = await receive()
    const Entries = first.map(({ ReceiptHandle }, at) => ({ Id: `${at}`, ReceiptHandle }))
    await client.send(new DeleteMessageBatchCommand({ QueueUrl, Entries }))
    expect(await left()).toBe(0)
    faults.rates = {}
    // No more than was asked for.
    expect([bodies(await receive(client, 1)), bodies(await receive(client, 1))].flat()).toEqual(bodies(first))
    expect(await receive()).toEqual([])
  })

  it('reorder: what is received together is shuffled, and what is sent may be late by a second', async () => {
    const { corner, faults, send, receive } = await scene({})
    await using _ = corner
    const all = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
    await send(...all)
    faults.rates = { reorder: 1 }
    const got = bodies(await receive())
    expect(new Set(got)).toEqual(new Set(all))
    expect(got).not.toEqual(all)
    const sinceMs = performance.now()
    await send('late')
    faults.rates = {}
    expect(await until(async () => (await receive())[0]?.Body)).toBe('late')
    // The least time says it on any machine. A receive within the second may come too late on a busy one.
    expect(performance.now() - sinceMs).toBeGreaterThan(900)
  })

  it('delay: a request takes longer', async () => {
    const { corner, faults, send, receive } = await scene({ delay: 1 })
    await using _ = corner
    await send('a')
    await receive()
    expect(faults.made).toEqual({ delay: 2 })
  })

  it('halfBatch: about half of the entries are not carried out, and said so', async () => {
    const { corner, send, left } = await scene({ halfBatch: 1 })
    await using _ = corner
    const { Successful = [], Failed = [] } = await send('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j')
    expect(Successful.length).toBeGreaterThan(0)
    expect(Failed.length).toBeGreaterThan(0)
    expect(new Set([...Successful, ...Failed].map(({ Id }) => Number(Id)))).toEqual(
      new Set([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
    )
    expect(Failed[0]).toMatchObject({ SenderFault: false, Code: 'InternalError' })
    expect(await left()).toBe(Successful.length)
  })

  it('failedDelete: one delete is not carried out, and other batches are left alone', async () => {
    const { corner, client, QueueUrl, send, receive, left } = await scene({ failedDelete: 1 })
    await using _ = corner
    expect((await send('a', 'b', 'c')).Failed).toEqual([])
    const Entries = (await receive()).map(({ ReceiptHandle }, at) => ({ Id: `${at}`, ReceiptHandle }))
    const { Failed } = await client.send(new DeleteMessageBatchCommand({ QueueUrl, Entries }))
    expect(Failed).toHaveLength(1)
    expect(await left()).toBe(1)
    const back = Entries.map((entry) => ({ ...entry, VisibilityTimeout: 0 })).filter(
      ({ Id }) => Id === Failed![0]!.Id,
    )
    await client.send(new ChangeMessageVisibilityBatchCommand({ QueueUrl, Entries: back }))
    expect(await receive()).toHaveLength(1)
  })

  it('sever: what is under way fails, and what comes after it does not', async () => {
    const { corner, client, faults, QueueUrl, send } = await scene({})
    await using _ = corner
    const polling = client.send(new ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds: 20 }))
    await until(() => faults.requests['ReceiveMessage'] === 1)
    faults.sever()
    await expect(polling).rejects.toMatchObject({ code: 'ECONNRESET' })
    expect((await send('a')).Successful).toHaveLength(1)
  })

  it('the same seed makes the same faults', async () => {
    const made = async () => {
      const { corner, send } = await scene({ halfBatch: 0.5 })
      await using _ = corner
      const failed: (string | undefined)[] = []
      for (let round = 0; round < 5; round += 1) {
        const { Failed = [] } = await send('a', 'b', 'c', 'd')
        failed.push(...Failed.map(({ Id }) => Id))
      }
      return failed
    }
    expect(await made()).toEqual(await made())
  })
})
