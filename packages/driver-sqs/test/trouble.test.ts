import { createServer } from 'node:http'
import { once } from 'node:events'
import { DeleteQueueCommand } from '@aws-sdk/client-sqs'
import { isErrandError } from '@errand/core/ports'
import { SqsFaults } from '@errand/testkit/sqs-faults'
import { quietLogger, scaleLimit } from '@errand/testkit'
import { describe, expect, inject, it } from 'vitest'
import { sqs } from '../src/index.ts'
import { context, Corner, drain, ids, publish, subscribe, tickets, until } from './sqs.ts'

const url = inject('sqs')

describe.skipIf(url === undefined).concurrent('when SQS is in trouble', () => {
  /** An impatient caller: it subscribes and asks again as soon as it is refused. */
  async function insist(
    driver: ReturnType<Corner['open']>,
    queue: string,
    until: AbortSignal,
  ): Promise<number> {
    let errors = 0
    while (!until.aborted) {
      try {
        const subscription = await subscribe(driver, queue)
        await subscription.next(10, until)
      } catch (error) {
        expect(error).toMatchObject({ code: 'E_DRIVER' })
        errors += 1
      }
    }
    return errors
  }

  it.each(['throttle', 'unavailable'] as const)(
    '%s: a subscriber that asks in a loop does not make the driver ask SQS in a loop',
    async (fault) => {
      await using corner = new Corner(url!)
      const faults = new SqsFaults({ seed: 1 })
      const driver = corner.open({ client: corner.faulty(faults) })
      await subscribe(driver, 'media')
      faults.rates = { [fault]: 1 }
      const before = faults.totalRequests
      // Not scaled: a longer time allows more requests.
      await insist(driver, 'media', AbortSignal.timeout(5_000))
      // Four lanes, three attempts of the SDK each; 100 ms doubling reach 3.2 s with the sixth failure.
      expect(faults.totalRequests - before).toBeLessThanOrEqual(4 * 3 * 7)
      faults.rates = {}
      const all = await publish(driver, tickets(5, 'media'))
      expect(await drain(await subscribe(driver, 'media'), 5)).toEqual(ids(all))
    },
  )

  it('an endpoint that refuses connections is an error with what to do, and not asked in a loop', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as { readonly port: number }
    let connections = 0
    server.on('connection', (socket) => {
      connections += 1
      socket.destroy()
    })
    await using corner = new Corner(url!)
    const driver = corner.open({ endpoint: `http://127.0.0.1:${port}` })
    const error: unknown = await publish(driver, tickets(1, 'media')).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({
      code: 'E_DRIVER',
      message: expect.stringContaining('check the region, the endpoint'),
    })
    expect(connections).toBeLessThanOrEqual(4)
    server.close()
  })

  it('throws at a waiting next when no lane can be asked, and serves the next subscription afterwards', async () => {
    await using corner = new Corner(url!)
    const faults = new SqsFaults({ seed: 1 })
    const driver = corner.open({ client: corner.faulty(faults, { maxAttempts: 1 }) })
    const subscription = await subscribe(driver, 'media')
    faults.rates = { unavailable: 1 }
    await expect(subscription.next(10, AbortSignal.timeout(scaleLimit(10_000)))).rejects.toMatchObject({
      code: 'E_DRIVER',
    })
    await subscription.close()
    faults.rates = {}
    const all = await publish(driver, tickets(3, 'media'))
    expect(await drain(await subscribe(driver, 'media'), 3)).toEqual(ids(all))
  })

  it('one lane that cannot be asked does not stop the others', async () => {
    await using corner = new Corner(url!)
    const client = corner.client({ maxAttempts: 1 })
    const driver = corner.open({ client })
    const subscription = await subscribe(driver, 'media')
    client.middlewareStack.add(
      (next, { commandName }) =>
        async (args) => {
          const { QueueUrl = '' } = args.input as { readonly QueueUrl?: string }
          if (commandName === 'ReceiveMessageCommand' && QueueUrl.endsWith('-low'))
            throw new Error('this one is broken')
          return next(args)
        },
      { step: 'initialize' },
    )
    const all = await publish(driver, tickets(5, 'media', 'high'))
    expect(await drain(subscription, 5)).toEqual(ids(all))
  })

  it('one lane without the right to read it does not stop the others, and is said as an error; four do', async () => {
    await using corner = new Corner(url!)
    const said: string[] = []
    const error = (about: object, text?: string): void => void said.push(`${text} ${JSON.stringify(about)}`)
    const client = corner.client({ maxAttempts: 1 })
    const driver = corner.open({ client }, { ...quietLogger, error })
    const subscription = await subscribe(driver, 'media')
    let denied = /-high$/
    client.middlewareStack.add(
      (next, { commandName }) =>
        async (args) => {
          const { QueueUrl = '' } = args.input as { readonly QueueUrl?: string }
          if (commandName === 'ReceiveMessageCommand' && denied.test(QueueUrl))
            throw Object.assign(new Error('not authorized to perform it'), { name: 'AccessDenied' })
          return next(args)
        },
      { step: 'initialize' },
    )
    const waiting = subscription.next(10, AbortSignal.timeout(scaleLimit(20_000)))
    await until(() => said.some((line) => line.includes('"lane":"high"')))
    const all = await publish(driver, tickets(1, 'media'))
    expect(ids(await waiting)).toEqual(ids(all))
    await subscription.close()
    denied = /./
    const next = await subscribe(driver, 'media')
    await expect(next.next(10, AbortSignal.timeout(scaleLimit(20_000)))).rejects.toMatchObject({
      code: 'E_DRIVER',
      message: expect.stringContaining('policy'),
    })
  })

  it('a publish of which some requests fail reports what is known, and leaves the rest open', async () => {
    await using corner = new Corner(url!)
    const client = corner.client({ maxAttempts: 1 })
    const driver = corner.open({ client })
    const [known] = await publish(driver, tickets(1, 'media'))
    client.middlewareStack.add(
      (next) => async (args) => {
        const { QueueUrl = '' } = args.input as { readonly QueueUrl?: string }
        if (QueueUrl.endsWith('-high')) throw new Error('this one is broken')
        return next(args)
      },
      { step: 'initialize' },
    )
    const report = await driver.publish([...tickets(2, 'media', 'high'), known!])
    expect(report).toEqual({ accepted: [known], refused: [] })
  })

  it('entries that fail in a batch that succeeds are repeated, alone', async () => {
    await using corner = new Corner(url!)
    const faults = new SqsFaults({ seed: 3, rates: { halfBatch: 0.2, failedDelete: 0.1 } })
    const driver = corner.open({ client: corner.faulty(faults) })
    const all = tickets(200, 'media')
    const { accepted, refused } = await driver.publish(all)
    expect(ids(accepted)).toEqual(ids(all))
    expect(refused).toEqual([])
    const subscription = await subscribe(driver, 'media')
    expect(await drain(subscription, 200, 50)).toEqual(ids(all))
    expect(faults.made.halfBatch).toBeGreaterThan(2)
    await subscription.close()
    // Nothing was deleted by mistake or left behind.
    await until(async () => (await driver.depth('media')) === 0)
  })

  it('an entry that is refused for good is reported with the reason', async () => {
    await using corner = new Corner(url!)
    const client = corner.client()
    client.middlewareStack.add(
      (next, { commandName }) =>
        async (args) => {
          const reply = await next(args)
          if (commandName !== 'SendMessageBatchCommand') return reply
          const Failed = [
            { Id: '0', Code: 'InvalidMessageContents', Message: 'not like this', SenderFault: true },
          ]
          return { ...reply, output: { $metadata: {}, Successful: [], Failed } }
        },
      { step: 'initialize' },
    )
    const [ticket] = tickets(1, 'media')
    expect(await corner.open({ client }).publish([ticket!])).toEqual({
      accepted: [],
      refused: [{ ticket, why: 'InvalidMessageContents: not like this' }],
    })
  })

  it('a queue that was deleted is made again by the next publish or ask', async () => {
    await using corner = new Corner(url!)
    const driver = corner.open()
    const subscription = await subscribe(driver, 'media')
    await publish(driver, tickets(1, 'media'))
    await drain(subscription, 1)
    for (const lane of ['critical', 'high', 'normal', 'low'] as const)
      await corner.client().send(new DeleteQueueCommand({ QueueUrl: await corner.getUrl('media', lane) }))
    const all = await publish(driver, tickets(5, 'media'))
    expect(await drain(subscription, 5)).toEqual(ids(all))
  })

  it('a queue that SQS forgets now and then loses no ticket', async () => {
    await using corner = new Corner(url!)
    const faults = new SqsFaults({ seed: 5, rates: { missingQueue: 0.2 } })
    const driver = corner.open({ client: corner.faulty(faults), visibility: '2s' })
    const all = tickets(60, 'media')
    const pending = new Map(all.map((ticket) => [ticket.id, ticket]))
    // As the relay: what is not accepted is published again.
    await until(async () => {
      const report = await driver.publish([...pending.values()]).catch(() => undefined)
      for (const { id } of report?.accepted ?? []) pending.delete(id)
      return pending.size === 0
    })
    const subscription = await until(() => subscribe(driver, 'media').catch(() => undefined))
    const got = new Set<string>()
    await until(
      async () => {
        const some = await subscription
          .next(10, AbortSignal.timeout(scaleLimit(5_000)))
          .catch((error: unknown) => {
            expect(isErrandError(error, 'E_DRIVER')).toBe(true)
            return []
          })
        await Promise.all(some.map((delivery) => delivery.ack()))
        for (const { ticket } of some) got.add(ticket.id)
        return got.size === all.length
      },
      { withinMs: 40_000 },
    )
    expect([...got].toSorted()).toEqual(ids(all))
    expect(faults.made.missingQueue).toBeGreaterThan(0)
  })

  it('a delete that fails does not throw at the worker: the ticket comes again', async () => {
    await using corner = new Corner(url!)
    const faults = new SqsFaults({ seed: 1 })
    const driver = corner.open({ client: corner.faulty(faults), visibility: '1s' })
    const [ticket] = await publish(driver, tickets(1, 'media'))
    const subscription = await subscribe(driver, 'media')
    const [first] = await subscription.next(1, AbortSignal.timeout(scaleLimit(5_000)))
    faults.rates = { halfBatch: 1, failedDelete: 1 }
    await first!.ack()
    // Four times, and then it is left to its visibility.
    await until(() => (faults.made.halfBatch ?? 0) === 4)
    faults.rates = {}
    const [again] = await subscription.next(1, AbortSignal.timeout(scaleLimit(10_000)))
    expect(again?.ticket).toEqual(ticket)
    await again!.ack()
  })

  it('credentials are not in what it says', async () => {
    const said: string[] = []
    const say = (o: object, m?: string) => void said.push(`${m} ${JSON.stringify(o)}`)
    const secret = 'wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY'
    const session = 'FwoGZXIvYXdzEXAMPLESESSIONTOKEN'
    await using corner = new Corner(url!)
    const client = corner.client({
      credentials: { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: secret, sessionToken: session },
    })
    client.middlewareStack.add(
      () => async () => {
        const text = `The request signature we calculated does not match AKIAIOSFODNN7EXAMPLE.\n\nThe Canonical String for this request should have been\n'POST\n/\n\nx-amz-security-token:${session}'`
        throw Object.assign(new Error(text), { name: 'SignatureDoesNotMatch' })
      },
      { step: 'deserialize' },
    )
    const logger = { debug: say, info: say, warn: say, error: say }
    const driver = sqs({ client, prefix: corner.prefix }).open(context(logger))
    const error: unknown = await driver.publish(tickets(1, 'media')).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({
      code: 'E_DRIVER',
      message: expect.stringContaining('check the credentials'),
    })
    const shown = `${said.join('\n')} ${inspected(error)}`
    for (const text of [secret, session, 'AKIAIOSFODNN7EXAMPLE']) expect(shown).not.toContain(text)
    await driver.close()
  })
})

function inspected(error: unknown): string {
  return error instanceof Error ? `${error.stack} ${error.message} ${inspected(error.cause)}` : String(error)
}
