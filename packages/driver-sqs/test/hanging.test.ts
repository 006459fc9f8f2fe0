import { SQSClient } from '@aws-sdk/client-sqs'
import type { Driver } from '@errand/core/ports'
import { describe, expect, it } from 'vitest'
import { scaleLimit } from '@errand/testkit'
import { sqs } from '../src/index.ts'
import { context, subscribe, tickets, until } from './sqs.ts'

/** An SQS of which some commands are never answered, whatever signal they are given. */
class Hanging {
  readonly asked: Record<string, number> = {}
  readonly driver: Driver
  #hangs: RegExp
  readonly #held: (() => void)[] = []

  constructor(hangs: RegExp) {
    this.#hangs = hangs
    const client = new SQSClient({ region: 'eu-west-1' })
    client.middlewareStack.add(
      (_next, { commandName = '' }) =>
        async ({ input }) => {
          this.asked[commandName] = (this.asked[commandName] ?? 0) + 1
          if (this.#hangs.test(commandName)) await new Promise<void>((resolve) => this.#held.push(resolve))
          return { response: undefined, output: answer(commandName, input) } as never
        },
      { step: 'initialize' },
    )
    this.driver = sqs({ client }).open(context())
  }

  recover(): void {
    this.#hangs = /^$/
    for (const go of this.#held) go()
  }
}

function answer(command: string, input: object): object {
  const { Entries = [] } = input as { readonly Entries?: readonly { readonly Id: string }[] }
  if (command === 'GetQueueUrlCommand') return { QueueUrl: 'https://sqs.example/queue' }
  if (command !== 'ReceiveMessageCommand') return { Successful: Entries.map(({ Id }) => ({ Id })) }
  return {
    Messages: tickets(1, 'media').map((ticket) => ({
      Body: JSON.stringify(ticket),
      ReceiptHandle: ticket.id,
    })),
  }
}

async function took(work: Promise<unknown>): Promise<number> {
  const since = performance.now()
  await work
  return performance.now() - since
}

describe.concurrent('an SQS that does not answer', () => {
  it.each([/./, /SendMessage/])(
    '%s: a close ends within two seconds, with 500 tickets unsent',
    async (hangs) => {
      const { driver } = new Hanging(hangs)
      const published = driver.publish(tickets(500, 'media')).catch((error: unknown) => error)
      expect(await took(driver.close())).toBeLessThan(scaleLimit(2_000))
      // Nothing is known of any of them.
      expect(await published).toMatchObject({ code: 'E_CLOSED' })
    },
  )

  it('a close waits neither for open polls nor for tickets that cannot be handed back or deleted', async () => {
    const { asked, driver } = new Hanging(/Delete|Visibility/)
    const subscription = await subscribe(driver, 'media')
    const [first] = await subscription.next(2, AbortSignal.timeout(scaleLimit(5_000)))
    await first?.ack()
    const duration = await took(driver.close())
    expect(asked).toMatchObject({ DeleteMessageBatchCommand: 1 })
    // 1.7 s, and some patience: without its bounds it would be ten and more.
    expect(duration).toBeLessThan(scaleLimit(4_000))
  })

  it('a publish that was aborted sends nothing more when SQS is there again', async () => {
    const hanging = new Hanging(/SendMessage/)
    const publish = new AbortController()
    const aborted = hanging.driver.publish(tickets(500, 'media'), { signal: publish.signal })
    await until(() => hanging.asked['SendMessageBatchCommand'] === 16)
    publish.abort()
    expect(await aborted).toEqual({ accepted: [], refused: [] })
    hanging.recover()
    const all = tickets(1, 'media')
    expect(await hanging.driver.publish(all)).toEqual({ accepted: all, refused: [] })
    expect(hanging.asked['SendMessageBatchCommand']).toBe(17)
    await hanging.driver.close()
  })
})
