import { describe, expect, test } from 'vitest'
import { scaleLimit } from '@errand/testkit'
import { hog } from './app/jobs.ts'
import { readLedger } from './app/ledger.ts'
import { startWorker } from './member.ts'
import { logs, scene } from './shared.ts'

describe.each(logs)('on %s', (name) => {
  test('a handler that blocks the event loop for twice the lease runs once', async () => {
    const { errand, env, ledger, violations } = await scene(name)
    // At most the default lease: the handler must end before its own timeout.
    const leaseMs = Math.min(30_000, scaleLimit(5_000))
    await startWorker({ ...env, LEASE_MS: String(leaseMs) })
    // A second worker without jobs: if the lease ran out, its sweeps would take the job away.
    await startWorker({ ...env, LEASE_MS: String(leaseMs) })
    const receipt = await errand.dispatch(hog, { ms: 2 * leaseMs })
    await errand.result(receipt, { timeout: scaleLimit(90_000) })

    expect((await errand.events.of(receipt.id)).map((event) => event.type)).toEqual([
      'dispatched',
      'started',
      'succeeded',
    ])
    expect(readLedger(ledger)).toHaveLength(2)
    expect(await violations()).toBe('')
  })
})
