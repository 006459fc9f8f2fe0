// A broker that burns: RabbitMQ, or SQS.
import { expect } from 'vitest'
import { systemClock } from '@errand/core/ports'
import { fromUrl as rabbitmq } from '@errand/driver-rabbitmq'
import { fromUrl as sqs } from '@errand/driver-sqs'
import { quietLogger, scaleLimit, until } from '@errand/testkit'
import { aside, work } from '../../fleet/app/jobs.ts'
import { lasts, pause } from '../../fleet/looks.ts'
import { whileAlarmed } from '../../rabbitmq/alarm.ts'
import { brokerQueue, deleteQueues, driverUrl, newPrefix, onBroker } from '../../rabbitmq/broker.ts'
import { afterReturnMs } from '../../fleet/limits.ts'
import type { Fleet } from '../../fleet/fleet.ts'
import { story } from '../story.ts'
import type { Story } from '../story.ts'
import { present, tearApart } from './common.ts'
import { onFreshLog } from './fresh-log.ts'
import { deleteSqsQueues } from './sqs.ts'

/** Nobody fetches tickets meanwhile, and dispatching goes on: so many lie on the broker in the end. */
async function whileTicketsWait(fleet: Fleet, act: () => Promise<void>): Promise<void> {
  for (const worker of fleet.workers) worker.signal('SIGSTOP')
  try {
    await fleet.dispatchGoesOn(40)
    await act()
  } finally {
    for (const worker of fleet.workers) worker.signal('SIGCONT')
  }
}

async function purge({ place, log }: Fleet): Promise<void> {
  const url = present(place.driver)
  const factory = place.sqs ? sqs(url) : rabbitmq(url)
  const driver = factory.open({ log, clock: systemClock, logger: quietLogger })
  await driver.purge('work')
  await driver.close()
}

function deleteAllQueues({ place }: Fleet): Promise<void> {
  if (place.sqs) return deleteSqsQueues(present(place.driver))
  return deleteQueues(present(place.rabbitmq).url, place.prefix, ['work'])
}

const awayMs = 5_000

export const brokerStories: readonly Story[] = [
  story('connections closed', async (fleet) => {
    const { rabbitmq: node, proxies } = fleet.place
    if (node) await node.rabbitmqctl('close_all_connections', 'an operator was here')
    else present(proxies.broker).cut()
    await fleet.takesAgain()
  }),

  story('connections torn', async (fleet) => {
    await tearApart(present(fleet.place.proxies.broker), () => fleet.dispatchGoesOn(10))
    await fleet.takesAgain()
  }),

  story('broker restarted', async (fleet) => {
    const node = present(fleet.place.rabbitmq)
    await node.shutDown()
    await Promise.all([fleet.dispatchGoesOn(40), lasts(awayMs)])
    await node.start()
    await fleet.takesAgain()
  }),

  story('broker killed', async (fleet) => {
    // RabbitMQ 3.10 leaves a quorum queue without a leader for good when it is killed in the seconds after the queue was
    // declared; it is the workers who are tested here.
    await lasts(awayMs)
    const node = present(fleet.place.rabbitmq)
    await node.kill()
    await Promise.all([fleet.dispatchGoesOn(40), lasts(awayMs)])
    await node.start()
    await fleet.takesAgain()
  }),

  story('broker wiped', async (fleet) => {
    const { rabbitmq: node, sqs: server } = fleet.place
    await whileTicketsWait(fleet, async () => {
      if (!node) return present(server).kill()
      await node.shutDown()
      node.wipe()
    })
    await present(node ?? server).start()
    await fleet.takesAgain()
  }),

  story('memory alarm', async (fleet) => {
    const node = present(fleet.place.rabbitmq)
    await whileAlarmed(node, async (blocked) => {
      await fleet.dispatchGoesOn(40)
      await blocked()
      // What is dispatched from here on is taken from the log.
      await fleet.goesOn(100)
    })
    await fleet.takesAgain()
  }),

  story('queue purged', async (fleet) => {
    await whileTicketsWait(fleet, () => purge(fleet))
    await fleet.takesAgain()
  }),

  story('queue deleted', async (fleet) => {
    await deleteAllQueues(fleet)
    await fleet.takesAgain()
  }),

  story('queue with other arguments', async (fleet) => {
    const { url } = present(fleet.place.rabbitmq)
    const prefix = newPrefix()
    const wrong = brokerQueue(prefix, 'aside', 'low')
    await onBroker(url, (channel) => channel.assertQueue(wrong, { durable: true }))
    // On a log of its own: relays of workers that do not serve the queue see tickets waiting, and give them their time.
    await onFreshLog(fleet, { driver: driverUrl(url, prefix), publishGraceMs: 1_000 }, async (on) => {
      const worker = await fleet.start({ env: { ...on.env, QUEUES: 'work,aside' } })
      const state = async () => (await on.errand.workers.list()).find(({ id }) => id === worker.id)
      const named = `queue "${wrong}" exists with another x-queue-type`
      await until(async () => (await state())?.why?.includes(named), { what: 'the worker tells', pause })
      expect(worker.output()).toContain('x-queue-type')
      const other = await on.errand.dispatch(work, { n: 1, failures: 0, ms: 0 })
      await on.errand.result(other, { timeout: scaleLimit(20_000) })
      // Nobody fetches its ticket: whoever has got nothing of the queue for 5 s takes the job from the log.
      await lasts(6_000)
      const receipt = await on.errand.dispatch(aside, { n: 1 }, { lane: 'high' })
      await on.errand.result(receipt, { timeout: scaleLimit(60_000) })

      await onBroker(url, (channel) => channel.deleteQueue(wrong))
      await fleet.recovers('the worker takes from both queues', afterReturnMs, async () =>
        Boolean((await state())?.taking),
      )
      worker.signal('SIGTERM')
      expect(await worker.exited, worker.output()).toBe(0)
      expect(await on.violations()).toBe('')
    })
    await deleteQueues(url, prefix, ['work', 'aside'])
  }),

  story('unroutable', async (fleet) => {
    await whileTicketsWait(fleet, async () => {
      await deleteAllQueues(fleet)
      await fleet.dispatchGoesOn(40)
    })
    await fleet.takesAgain()
  }),

  story('confirm lost', async (fleet) => {
    const proxy = present(fleet.place.proxies.broker)
    proxy.blackHole('down')
    await Promise.all([fleet.dispatchGoesOn(40), lasts(awayMs)])
    proxy.heal()
    await fleet.takesAgain()
  }),
]
