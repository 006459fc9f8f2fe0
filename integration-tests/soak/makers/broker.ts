// A broker that burns: RabbitMQ, or SQS.
import { systemClock } from '@errand/core/ports'
import { fromUrl as rabbitmq } from '@errand/driver-rabbitmq'
import { fromUrl as sqs } from '@errand/driver-sqs'
import { quietLogger } from '@errand/testkit'
import { everySqsFault } from '@errand/testkit/sqs-faults'
import type { SqsFaultRates } from '@errand/testkit/sqs-faults'
import { tearApart } from '../../faults/stories/common.ts'
import { lasts } from '../../fleet/looks.ts'
import { deleteSqsQueues } from '../../faults/stories/sqs.ts'
import { whileAlarmed } from '../../rabbitmq/alarm.ts'
import { deleteQueues } from '../../rabbitmq/broker.ts'
import type { Fleet } from '../../fleet/fleet.ts'
import type { SoakFault } from '../faults.ts'
import { between, present } from './maker.ts'
import type { Maker } from './maker.ts'

async function whileSqs(fleet: Fleet, rates: SqsFaultRates, ms: number): Promise<void> {
  fleet.tell(JSON.stringify(rates))
  await Promise.all([fleet.dispatchGoesOn(), lasts(ms)])
  fleet.tell('{}')
  await fleet.takesAgain()
}

const failing = ['throttle', 'unavailable', 'missingQueue'] as const

export const brokerMakers = {
  async 'connections closed'(fleet) {
    const { rabbitmq: node, proxies } = fleet.place
    if (node) await node.rabbitmqctl('close_all_connections', 'an operator was here')
    else present(proxies.broker).cut()
    await fleet.takesAgain()
  },

  async 'connections torn'(fleet) {
    await tearApart(present(fleet.place.proxies.broker), () => fleet.dispatchGoesOn(10))
    await fleet.takesAgain()
  },

  async 'broker restarted'(fleet, choice) {
    const node = present(fleet.place.rabbitmq)
    await node.shutDown()
    await Promise.all([fleet.dispatchGoesOn(), lasts(between(1_000, 10_000, choice))])
    await node.start()
    await fleet.takesAgain()
  },

  async 'broker killed'(fleet, choice) {
    // RabbitMQ 3.10 leaves a quorum queue without a leader for good when it is killed in the seconds after the queue was
    // declared; it is the workers who are tested here.
    await lasts(5_000)
    const node = present(fleet.place.rabbitmq)
    await node.kill()
    await Promise.all([fleet.dispatchGoesOn(), lasts(between(1_000, 10_000, choice))])
    await node.start()
    await fleet.takesAgain()
  },

  async 'broker wiped'(fleet, choice) {
    const { rabbitmq: node, sqs: server } = fleet.place
    if (node) {
      await node.shutDown()
      node.wipe()
    } else await present(server).kill()
    await Promise.all([fleet.dispatchGoesOn(), lasts(between(100, 10_000, choice))])
    await present(node ?? server).start()
    await fleet.takesAgain()
  },

  async 'memory alarm'(fleet) {
    await whileAlarmed(present(fleet.place.rabbitmq), async (blocked) => {
      await fleet.dispatchGoesOn()
      await blocked()
      await fleet.goesOn(40)
    })
    await fleet.takesAgain()
  },

  async 'queue purged'(fleet) {
    const url = present(fleet.place.driver)
    const factory = fleet.place.sqs ? sqs(url) : rabbitmq(url)
    const driver = factory.open({ log: fleet.log, clock: systemClock, logger: quietLogger })
    try {
      await driver.purge('work')
    } finally {
      await driver.close()
    }
    await fleet.takesAgain()
  },

  async 'queue deleted'(fleet) {
    const { sqs: server, rabbitmq: node, driver, prefix } = fleet.place
    if (server) await deleteSqsQueues(present(driver))
    else await deleteQueues(present(node).url, prefix, ['work'])
    await fleet.takesAgain()
  },

  async 'confirm lost'(fleet, choice) {
    const proxy = present(fleet.place.proxies.broker)
    proxy.blackHole('down')
    await Promise.all([fleet.dispatchGoesOn(), lasts(between(1_000, 8_000, choice))])
    proxy.heal()
    await fleet.takesAgain()
  },

  'SQS delete fails': (fleet, choice) => whileSqs(fleet, everySqsFault(0.2), between(2_000, 8_000, choice)),

  'SQS throttled': (fleet, choice) => {
    const fault = failing[Math.floor(choice.which * failing.length)] ?? failing[0]
    return whileSqs(fleet, { [fault]: 1 }, between(2_000, 8_000, choice))
  },
} satisfies Partial<Record<SoakFault, Maker>>
