import { SendMessageCommand } from '@aws-sdk/client-sqs'
import { describeDriver, scaleLimit } from '@errand/testkit'
import { SqsFaults } from '@errand/testkit/sqs-faults'
import type { Duration } from '@errand/core'
import { describe, inject } from 'vitest'
import { Corner } from './sqs.ts'

const url = inject('sqs')
// Short: what an aborted poll had already taken comes back within a test's patience. But long enough for the broker to take a
// delete before, or a ticket that was acked comes again.
const visibility: Duration = `${Math.min(10, Math.ceil(scaleLimit(2_000) / 1_000))}s`

describe.skipIf(url === undefined)('on SQS', () => {
  describeDriver('sqs', {
    capabilities: {
      delivers: 'tickets',
      depth: 'approximate',
      packs: true,
      wakes: true,
      sever: true,
      publishRaw: true,
    },
    concurrent: true,
    create: async () => {
      const corner = new Corner(url!)
      const cuts = new SqsFaults({ seed: 1 })
      const open = () => corner.open({ client: corner.faulty(cuts), visibility })
      return {
        driver: open(),
        another: async () => open(),
        sever: async () => cuts.sever(),
        publishRaw: async (queue, message) => {
          const QueueUrl = await corner.getUrl(queue, 'normal')
          // SQS carries text, and no empty one.
          const MessageBody = new TextDecoder().decode(message).replaceAll('\0', '') || ' '
          await corner.client().send(new SendMessageCommand({ QueueUrl, MessageBody }))
        },
        close: () => corner.close(),
      }
    },
  })
})
