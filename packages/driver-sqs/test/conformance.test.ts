import { SendMessageCommand } from '@aws-sdk/client-sqs'
import { describeDriver } from '@errand/testkit'
import { everySqsFault, SqsFaults } from '@errand/testkit/sqs-faults'
import { describe, inject } from 'vitest'
import { Referee } from './referee.ts'
import { Corner } from './sqs.ts'

const url = inject('sqs')
// Short: what an aborted poll had already taken comes back within a test's patience.
const visibility = '2s'
const capabilities = { delivers: 'tickets', depth: 'approximate' } as const

describe.skipIf(url === undefined)('on SQS', () => {
  describeDriver('sqs', {
    capabilities: { ...capabilities, sever: true, publishRaw: true },
    create: async () => {
      const corner = new Corner(url!)
      const cuts = new SqsFaults({ seed: 1 })
      const open = () => {
        const client = corner.client()
        cuts.install(client)
        return corner.open({ client, visibility })
      }
      return {
        driver: open(),
        another: async () => open(),
        sever: async () => cuts.sever(),
        publishRaw: async (queue, message) => {
          const QueueUrl = await corner.urlOf(queue, 'normal')
          // SQS carries text, and no empty one.
          const MessageBody = new TextDecoder().decode(message).replaceAll('\0', '') || ' '
          await corner.client().send(new SendMessageCommand({ QueueUrl, MessageBody }))
        },
        close: () => corner.close(),
      }
    },
  })
})

describe.skipIf(url === undefined)('on an SQS that repeats, reorders, delays, refuses and fails, each one time in ten', () => {
  describeDriver('sqs with every fault', {
    capabilities,
    create: async () => {
      const corner = new Corner(url!)
      const referee = new Referee()
      const faults = new SqsFaults({ seed: Math.floor(Math.random() * 1e9), rates: everySqsFault(0.1) })
      const open = () => {
        // More attempts than the SDK's three: here two in ten requests fail.
        const client = corner.client({ maxAttempts: 10 })
        faults.install(client)
        return referee.over(corner.open({ client, visibility }))
      }
      return { driver: open(), another: async () => open(), close: () => corner.close() }
    },
  })
})
