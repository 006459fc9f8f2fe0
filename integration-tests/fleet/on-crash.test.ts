import { describe, expect, test } from 'vitest'
import { isErrandError } from '@errand/core'
import { scaleLimit, until } from '@errand/testkit'
import { gated, once } from './app/jobs.ts'
import { openGate, readLedger } from './app/ledger.ts'
import { startWorker } from './member.ts'
import { logs, scene } from './shared.ts'
import type { Scene } from './scene.ts'

/** Of two workers, kills the one that has begun the only job, while the other one sweeps. */
async function killTheRunner(on: Scene, receipt: Promise<{ readonly id: string }>): Promise<void> {
  const workers = await Promise.all([startWorker(on.env), startWorker(on.env)])
  const { id } = await receipt
  await until(() => readLedger(on.ledger).length > 0, { what: 'the handler has begun' })
  const started = (await on.log.readHistory(id)).find((event) => event.type === 'started')
  workers.find((worker) => worker.id === started?.worker)?.signal('SIGKILL')
}

describe.each(logs)('a worker that is killed with -9 in a handler, on %s', (name) => {
  test('its job runs again on another one, within the lease and a sweep', async () => {
    const on = await scene(name)
    const receipt = on.errand.dispatch(gated, { n: 1 })
    await killTheRunner(on, receipt)
    openGate(on.ledger)
    await on.errand.result(await receipt, { timeout: scaleLimit(90_000) })

    const events = await on.errand.events.of((await receipt).id)
    expect(events.map((event) => event.type)).toEqual([
      'dispatched',
      'started',
      'lost',
      'started',
      'succeeded',
    ])
    expect(await on.violations()).toBe('')
  })

  test("a job with onCrash: 'fail' does not: it fails as interrupted", async () => {
    const on = await scene(name)
    const receipt = on.errand.dispatch(once, { n: 1, ms: 600_000 })
    await killTheRunner(on, receipt)
    const error = await on.errand
      .result(await receipt, { timeout: scaleLimit(90_000) })
      .catch((thrown: unknown) => thrown)

    expect(isErrandError(error, 'E_RESULT_FAILED')).toBe(true)
    expect(readLedger(on.ledger).filter((line) => line.mark === 'began')).toHaveLength(1)
    expect(await on.violations()).toBe('')
  })
})
