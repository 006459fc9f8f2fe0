import { until } from '@errand/testkit'
import { pause } from '../fleet/looks.ts'
import type { PrivateRabbitmq } from '../services/private-rabbitmq.ts'

/** Makes a node short of memory: it takes nothing from publishers until the act is over. */
export async function whileAlarmed(
  node: PrivateRabbitmq,
  act: (blocked: () => Promise<unknown>) => Promise<void>,
): Promise<void> {
  const isBlocking = async (): Promise<boolean> =>
    (await node.rabbitmqctl('list_connections', 'state')).includes('block')
  await node.rabbitmqctl('set_vm_memory_high_watermark', 'absolute', '1')
  try {
    await act(() => until(isBlocking, { what: 'publishers are blocked', pause }))
  } finally {
    await node.rabbitmqctl('set_vm_memory_high_watermark', 'absolute', '1GB')
  }
}
