import { describe, expect, test } from 'vitest'
import { createErrand } from '@errand/core'
import { quietLogger, until } from '@errand/testkit'
import { work } from '../fleet/app/jobs.ts'
import { readLedger } from '../fleet/app/ledger.ts'
import { pause } from '../fleet/looks.ts'
import { startWorker } from '../fleet/member.ts'
import { places, scene } from '../fleet/shared.ts'

const small = 1_000

describe.each(places)('turns of jobs that share, on $title', ({ name }) => {
  test('the only job of a key is among the first three of 201, though all the others wait before it', async () => {
    const on = await scene(name)
    const { ERRAND_LOG: log, ERRAND_DRIVER: driver } = on.env
    const application = createErrand({ log, driver, logger: quietLogger })
    const job = (n: number, shareKey: string) => work.with({ n, failures: 0, ms: 5 }, { shareKey })
    await application.dispatchMany(Array.from({ length: 200 }, (_, n) => job(n, 'large')))
    await application.dispatchMany([job(small, 'small')])
    // A close waits for the tickets of all dispatches.
    await application.close()
    await startWorker({ ...on.env, CONCURRENCY: '1' })
    const order = await until(
      () => {
        const begun = readLedger(on.ledger).filter(({ mark }) => mark === 'began')
        return begun.length === 201 && begun
      },
      { what: 'all jobs have run', withinMs: 60_000, pause },
    )
    expect(new Set(order.map(({ jobId }) => jobId)).size).toBe(201)
    const first = order.slice(0, 3).map(({ jobId }) => jobId)
    const isSmall = await Promise.all(
      first.map(async (id) => (await on.errand.jobs.get(id))?.shareKey === 'small'),
    )
    expect(isSmall).toContain(true)
  })
})
