import { describe, expect, it, vi } from 'vitest'
import { newTicket, workerRef } from '@errand/testkit'
import { buildDriver } from '../../src/driver-kit.ts'
import type { DriverParts } from '../../src/driver-kit.ts'

const never = new AbortController().signal

function scene(parts: Partial<DriverParts> = {}) {
  const said: string[] = []
  const subscription = {
    next: vi.fn(async () => {
      said.push('asked')
      return []
    }),
    close: vi.fn(async () => {
      await new Promise((resolve) => setImmediate(resolve))
      said.push('subscription closed')
    }),
  }
  const driver = buildDriver({
    name: 'mine',
    capabilities: { delivers: 'tickets', depth: 'exact' },
    publish: async (tickets) => ({ accepted: tickets, refused: [] }),
    subscribe: async () => subscription,
    depth: async () => 7,
    purge: async () => void said.push('purged'),
    close: async () => void said.push('driver closed'),
    ...parts,
  })
  const subscribe = () => driver.subscribe('media', { worker: workerRef() })
  return { driver, subscribe, subscription, said }
}

describe('a driver that was built from its parts', () => {
  it('passes calls on, and checks the names of queues', async () => {
    const { driver, said } = scene()
    const tickets = [newTicket()]
    expect(await driver.publish(tickets)).toEqual({ accepted: tickets, refused: [] })
    expect(await driver.depth('media')).toBe(7)
    await driver.purge('media')
    expect(said).toEqual(['purged'])
    const wrong = [driver.depth('a b'), driver.purge(''), driver.subscribe('a:b', { worker: workerRef() })]
    for (const call of wrong) await expect(call).rejects.toMatchObject({ code: 'E_NAME' })
    expect(driver).not.toHaveProperty('refusal')
  })

  it('closes its subscriptions first, each once, and then takes no more calls', async () => {
    const { driver, subscribe, said } = scene({ refusal: async () => undefined })
    const [one] = [await subscribe(), await subscribe()]
    await Promise.all([one.close(), one.close()])
    await Promise.all([driver.close(), driver.close()])
    expect(said).toEqual(['subscription closed', 'subscription closed', 'driver closed'])
    const calls = [
      driver.publish([newTicket()]),
      subscribe(),
      driver.depth('media'),
      driver.purge('media'),
      driver.refusal?.(),
    ]
    for (const call of calls) await expect(call).rejects.toMatchObject({ code: 'E_CLOSED' })
  })

  it('asks a subscription for nothing after it was closed, for an aborted signal, or without demand', async () => {
    const { subscribe, said } = scene()
    const subscription = await subscribe()
    await subscription.next(1, never)
    expect(await subscription.next(1, AbortSignal.abort())).toEqual([])
    expect(await subscription.next(0, never)).toEqual([])
    await subscription.close()
    expect(await subscription.next(1, never)).toEqual([])
    expect(said).toEqual(['asked', 'subscription closed'])
  })

  it('closes a subscription that opens while the driver closes', async () => {
    const opening = Promise.withResolvers<void>()
    const { driver, subscribe, subscription } = scene()
    const late = buildDriver({
      ...driver,
      subscribe: async () => {
        await opening.promise
        return subscription
      },
    })
    const subscribing = late.subscribe('media', { worker: workerRef() })
    const closing = late.close()
    opening.resolve()
    await expect(subscribing).rejects.toMatchObject({ code: 'E_CLOSED' })
    await closing
    expect(subscription.close).toHaveBeenCalledOnce()
    await expect(subscribe()).rejects.toMatchObject({ code: 'E_CLOSED' })
  })
})
