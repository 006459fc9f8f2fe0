import { describe, expect, test } from 'vitest'
import { work } from './app/jobs.ts'
import { readLedger } from './app/ledger.ts'
import { allEnded } from './looks.ts'
import { startWorker } from './member.ts'
import { places, scene } from './shared.ts'

const limit = 5
const jobs = 300

describe.each(places.map(({ name, title }) => ({ name, title })))('a limited queue on $title', ({ name }) => {
  test('never more than five of its jobs run over six workers, and all 300 end', async () => {
    const on = await scene(name)
    await on.errand.queues.limit('work', { concurrency: limit }, { by: 'the test', reason: 'it is one' })
    await Promise.all(Array.from({ length: 6 }, () => startWorker({ ...on.env, CONCURRENCY: '3' })))
    await on.errand.dispatchMany(
      Array.from({ length: jobs }, (_, n) => work.with({ n, failures: 0, ms: 10 })),
    )
    await allEnded(on.log, 120_000)
    let running = 0
    let most = 0
    const marks = readLedger(on.ledger).map(({ mark }) => mark)
    for (const mark of marks) {
      running += mark === 'began' ? 1 : -1
      most = Math.max(most, running)
    }
    expect(marks.filter((mark) => mark === 'began')).toHaveLength(jobs)
    expect(most).toBeGreaterThan(1)
    expect(most).toBeLessThanOrEqual(limit)
  })
})
