import { expect, test } from 'vitest'
import { resolveConfig } from '../../src/config/resolve.ts'
import { createPublisher } from '../../src/dispatch/publisher.ts'
import type { Ticket } from '../../src/job/ticket.ts'
import type { Driver, PublishReport } from '../../src/ports/driver.ts'
import { virtualClock } from '../../src/testing/virtual-clock.ts'
import { recordingLogger } from '../recording-logger.ts'

const ticket = (id: string): Ticket => ({ id, queue: 'q', lane: 'normal', log: 'l' })

const log = { served: async () => [], notify: async () => undefined }

function hangingDriver(): Driver {
  return {
    port: 1,
    name: 'broker',
    capabilities: { delivers: 'tickets', depth: 'exact' },
    publish: () => new Promise(() => {}),
    subscribe: async () => Promise.reject(new Error('nobody subscribes here')),
    depth: async () => 0,
    purge: async () => undefined,
    close: async () => undefined,
  }
}

test('closing waits a second for a broker that hangs, however much is still to be published', async () => {
  const clock = virtualClock()
  const logger = recordingLogger()
  const { settings } = resolveConfig({ logger })
  const publisher = createPublisher({ driver: hangingDriver(), log, clock, logger, settings })
  const tickets = Array.from({ length: 3 * settings.batchItems }, (_, index) => ticket(String(index)))
  const publishing = publisher.publish(tickets)
  const closing = publisher.close()
  await clock.advance(1_000)
  await closing
  expect(await publishing).toEqual({ accepted: [], refused: [] })
})

test('tickets do not wait for the answer to those before them: four publishes may be under way', async () => {
  const clock = virtualClock()
  const logger = recordingLogger()
  const answers: (() => void)[] = []
  const published: string[][] = []
  const driver: Driver = {
    ...hangingDriver(),
    publish: (tickets) =>
      new Promise((resolve) => {
        published.push(tickets.map(({ id }) => id))
        answers.push(() => resolve({ accepted: tickets, refused: [] }))
      }),
  }
  const { settings } = resolveConfig({ logger })
  const publisher = createPublisher({ driver, log, clock, logger, settings })
  const turn = () => new Promise<void>((resolve) => setImmediate(resolve))
  const reports = []
  for (const id of ['1', '2', '3', '4', '5', '6']) {
    reports.push(publisher.publish([ticket(id)]))
    await turn()
  }
  expect(published).toEqual([['1'], ['2'], ['3'], ['4']])
  // Tickets that have gathered go together.
  answers[1]?.()
  await turn()
  expect(published.slice(4)).toEqual([['5', '6']])
  for (const answer of answers) answer()
  for (const report of reports) expect((await report).accepted).toHaveLength(1)
  await publisher.close()
})

test('a driver that was left while it hung does not hold up what is published to the new one', async () => {
  let isLeft = false
  const logger = recordingLogger()
  const publisher = createPublisher({
    driver: {
      ...hangingDriver(),
      publish: async (tickets): Promise<PublishReport> =>
        isLeft ? { accepted: tickets, refused: [] } : new Promise(() => {}),
    },
    log,
    clock: virtualClock(),
    logger,
    settings: resolveConfig({ logger }).settings,
  })
  const hanging = publisher.publish([ticket('1')])
  await Promise.resolve()
  isLeft = true
  publisher.moved()
  expect(await publisher.publish([ticket('2')])).toMatchObject({ accepted: [{ id: '2' }] })
  expect(await hanging).toEqual({ accepted: [], refused: [] })
  expect(publisher.down).toBeUndefined()
  expect(logger.lines).toEqual([])
})

test('a driver that listens to wake-ups has the queues woken, unless they have been', async () => {
  const clock = virtualClock()
  const logger = recordingLogger()
  const woken: string[] = []
  const driver: Driver = {
    ...hangingDriver(),
    capabilities: { delivers: 'tickets', depth: 'exact', wakes: true },
    publish: async (tickets) => ({ accepted: tickets, refused: [] }),
  }
  const { settings } = resolveConfig({ logger })
  const wakingLog = { ...log, notify: async (topics: readonly string[]) => void woken.push(...topics) }
  const publisher = createPublisher({ driver, log: wakingLog, clock, logger, settings })
  await publisher.publish([ticket('1')], true)
  expect(woken).toEqual([])
  await publisher.publish([ticket('2'), ticket('3')])
  expect(woken).toEqual(['queue:q'])
  await publisher.close()
})
