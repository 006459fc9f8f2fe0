import { onTestFinished } from 'vitest'
import { startFaultProxy } from '@errand/testkit'
import type { FaultProxy } from '@errand/testkit'

/** A way to the broker or the database on which everything takes `oneWayMs` in each direction. Closed when the test has finished. */
export async function startSlowProxy(url: string, oneWayMs: number): Promise<FaultProxy> {
  const { hostname, port, protocol } = new URL(url)
  const usual = protocol === 'amqp:' ? 5672 : 5432
  const proxy = await startFaultProxy({ host: hostname, port: Number(port || usual) })
  onTestFinished(() => proxy.close())
  proxy.delay(oneWayMs)
  return proxy
}
