import { describeDriver } from '@errand/testkit'
import { everySqsFault, SqsFaults } from '@errand/testkit/sqs-faults'
import { ConfiguredRetryStrategy } from '@smithy/core/retry'
import { describe, inject } from 'vitest'
import { Referee } from './referee.ts'
import { Corner } from './sqs.ts'

const url = inject('sqs')
// Short: what an aborted poll had already taken comes back within a test's patience.
const visibility = '2s'

describe.skipIf(url === undefined)(
  'on an SQS that repeats, reorders, delays, refuses and fails, each one time in ten',
  () => {
    describeDriver('sqs with every fault', {
      capabilities: { delivers: 'tickets', depth: 'approximate', packs: true, wakes: true, inexact: true },
      concurrent: true,
      create: async (test) => {
        const corner = new Corner(url!)
        const referee = new Referee()
        const seed = Math.floor(Math.random() * 1e9)
        test.onTestFailed(() => console.error(`the faults of this test had the seed ${seed}`))
        const faults = new SqsFaults({ seed, rates: everySqsFault(0.1) })
        // More attempts than the SDK's three, because here more than two in ten requests fail; and no pause between
        // them that grows, because five failures in a row then take longer than the driver gives a request.
        const retryStrategy = new ConfiguredRetryStrategy(10, 50)
        const open = () =>
          referee.over(corner.open({ client: corner.faulty(faults, { retryStrategy }), visibility }))
        return { driver: open(), another: async () => open(), close: () => corner.close() }
      },
    })
  },
)
