import { describe, expect, inject, test } from 'vitest'
import { lanes } from '@errand/core/ports'
import { newTicket, until } from '@errand/testkit'
import { work } from '../fleet/app/jobs.ts'
import { pause } from '../fleet/looks.ts'
import { logs, scene } from '../fleet/shared.ts'
import { readPrefix } from '../fleet/urls.ts'
import { brokerQueue, findLane, onBroker } from './broker.ts'
import { endsWell, startRabbitmqFleet } from './fleet.ts'
import { malformed, message } from './forged.ts'

const url = inject('amqp')

describe.skipIf(url === undefined)('a fleet on a RabbitMQ that anybody writes to', () => {
  test('malformed and forged tickets: set aside or refused, every job runs, and both workers go on', async () => {
    const broker = String(url)
    const fleet = await startRabbitmqFleet(broker)
    const { errand, log } = fleet
    const prefix = readPrefix(fleet.place.driver)
    const { logId } = await log.connect()
    const other = await scene(logs.at(-1)!)
    const foreign = await other.errand.dispatch(work, { n: 1, failures: 0, ms: 0 })
    const later = await errand.dispatch(work, { n: 1, failures: 0, ms: 0 }, { delay: '1h' })
    const finished = fleet.dispatched[0] ?? ''
    await until(async () => (await log.get(finished))?.state === 'succeeded', {
      what: 'a job has ended',
      pause,
    })
    const forged = [
      newTicket({ queue: 'work', log: logId }),
      newTicket({ queue: 'work', log: logId, id: "'; drop table jobs; --" }),
      newTicket({ queue: 'work', log: logId, id: '\0' }),
      newTicket({ queue: 'work', log: logId, id: 'x'.repeat(2_000) }),
      newTicket({ queue: 'elsewhere', log: logId, id: later.id }),
      newTicket({ queue: 'work', log: logId, id: later.id }),
      newTicket({ queue: 'work', log: logId, id: finished }),
      newTicket({ queue: 'work', log: logId, id: foreign.id }),
      newTicket({ queue: 'work', log: (await other.log.connect()).logId, id: foreign.id }),
    ]

    await onBroker(broker, async (channel) => {
      for (let copy = 1; copy <= 3; copy += 1) {
        for (const [, content] of malformed)
          channel.sendToQueue(brokerQueue(prefix, 'work', 'normal'), content)
        for (const ticket of forged) {
          for (const lane of ['critical', 'normal'] as const)
            channel.sendToQueue(brokerQueue(prefix, 'work', lane), message(ticket))
        }
      }
    })

    await fleet.goesOn()
    await fleet.takesAgain()
    for (const lane of ['critical', 'normal'] as const) {
      await until(async () => (await findLane(broker, brokerQueue(prefix, 'work', lane)))?.waiting === 0, {
        what: 'none of them is handed out again and again',
        pause,
      })
    }
    const said = fleet.workers.map((worker) => worker.output()).join('')
    expect(said).toContain('a message that is not a ticket was set aside')
    expect(said).toContain('a ticket of another job log was dropped')
    expect((await log.readHistory(later.id)).map(({ type }) => type)).toEqual(['dispatched'])
    expect((await other.log.readHistory(foreign.id)).map(({ type }) => type)).toEqual(['dispatched'])
    await errand.jobs.cancel(later.id, { by: 'the test' })
    await endsWell(fleet)

    // If a worker still held one, it would hand it back now.
    for (const worker of fleet.workers) {
      worker.signal('SIGTERM')
      expect(await worker.exited, worker.output()).toBe(0)
    }
    for (const lane of lanes) {
      expect((await findLane(broker, brokerQueue(prefix, 'work', lane)))?.waiting).toBe(0)
    }
  })
})
