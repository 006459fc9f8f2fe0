import { describe, expect, inject, it, onTestFinished } from 'vitest'
import { quietLogger, scaleLimit, startFaultProxy } from '@errand/testkit'
import { usualPatience } from '../src/api.ts'
import { parseUrl } from '../src/url.ts'
import { Corner, publish, tickets } from './sqs.ts'

const url = inject('sqs')
const endpoint = url === undefined ? undefined : parseUrl(url).endpoint

describe.skipIf(endpoint === undefined)('an SQS whose connections a network has forgotten', () => {
  it('a publish goes through within ten seconds: its first try does not wait for the whole deadline', async () => {
    const { hostname, port } = new URL(endpoint!)
    const proxy = await startFaultProxy({ host: hostname, port: Number(port) })
    onTestFinished(() => proxy.close())
    await using corner = new Corner(url!)
    const driver = corner.open({ endpoint: proxy.url(endpoint!) }, quietLogger, usualPatience)
    // So many at once that several connections are kept.
    await publish(driver, tickets(100, 'media'))
    expect(proxy.connections).toBeGreaterThan(1)
    proxy.forget()
    const sinceMs = performance.now()
    await publish(driver, tickets(100, 'media'))
    expect(performance.now() - sinceMs).toBeLessThan(scaleLimit(6_000))
    expect(proxy.swallowed.up).toBeGreaterThan(0)
  })
})
