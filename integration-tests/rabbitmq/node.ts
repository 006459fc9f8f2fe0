import { inject } from 'vitest'
import { isRabbitmqInstalled, startPrivateRabbitmq } from '../services/private-rabbitmq.ts'
import type { PrivateRabbitmq, PrivateRabbitmqOptions } from '../services/private-rabbitmq.ts'

/** Whether this run can have a node that it may kill. */
export const canHaveNode: boolean = inject('amqp') !== undefined && isRabbitmqInstalled()

/** @throws if no RabbitMQ is installed: see `canHaveNode` */
export async function nodeOfItsOwn(options?: PrivateRabbitmqOptions): Promise<PrivateRabbitmq> {
  const node = await startPrivateRabbitmq(options)
  if (!node) throw new Error('no RabbitMQ is installed')
  return node
}
