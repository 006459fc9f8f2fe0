import { describe, expect, test } from 'vitest'
import { isErrandError } from '@errand/core'
import { until } from '@errand/testkit'
import { once, work } from './app/jobs.ts'
import { readLedger } from './app/ledger.ts'
import { startWorker } from './process.ts'
import { logs, scene } from './scene.ts'

describe.each(logs)('a worker that is killed with -9 in a handler, on %s', (name) => {
  test('its job runs again on another one, within the lease and a sweep', { timeout: 30_000 }, async () => {
    const { errand, env, ledger, violations } = await scene(name)
    const first = await startWorker(env)
    const receipt = await errand.dispatch(work, { n: 1, failures: 0, ms: 3_000 })
    await until(() => readLedger(ledger).length > 0, { what: 'the handler has begun' })
    await startWorker(env)
    first.signal('SIGKILL')
    await errand.result(receipt, { timeout: '20s' })

    const types = (await errand.events.of(receipt.id)).map((event) => event.type)
    expect(types).toEqual(['dispatched', 'started', 'lost', 'started', 'succeeded'])
    expect(await violations()).toBe('')
  })

  test("a job with onCrash: 'fail' does not: it fails as interrupted", { timeout: 30_000 }, async () => {
    const { errand, env, ledger, violations } = await scene(name)
    const first = await startWorker(env)
    const receipt = await errand.dispatch(once, { n: 1, ms: 3_000 })
    await until(() => readLedger(ledger).length > 0, { what: 'the handler has begun' })
    await startWorker(env)
    first.signal('SIGKILL')
    const error = await errand.result(receipt, { timeout: '20s' }).catch((thrown: unknown) => thrown)

    expect(isErrandError(error, 'E_RESULT_FAILED')).toBe(true)
    expect(readLedger(ledger).filter((line) => line.mark === 'began')).toHaveLength(1)
    expect(await violations()).toBe('')
  })
})
