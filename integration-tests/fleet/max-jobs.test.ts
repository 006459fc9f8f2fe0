import { expect, test } from 'vitest'
import { handle } from '@errand/core'
import { work } from './app/jobs.ts'
import { places, scene } from './shared.ts'

test.for(places)(
  'a worker that may begin three jobs is granted three of forty, on $title',
  async ({ name }) => {
    const on = await scene(name)
    const requests = Array.from({ length: 40 }, (_, n) =>
      work.with({ n, failures: 0, ms: 1 }, n % 2 === 0 ? {} : { queue: 'other' }),
    )
    const receipts = await on.errand.dispatchMany(requests)
    let ran = 0
    const worker = on.errand.work(
      { concurrency: 10, handlers: [handle(work, () => void (ran += 1))] },
      { queues: ['work', 'other'], maxJobs: 3, signals: false },
    )
    await worker.finished
    const histories = await Promise.all(receipts.map(({ id }) => on.log.readHistory(id)))
    expect(ran).toBe(3)
    expect(histories.flat().filter(({ type }) => type === 'started')).toHaveLength(3)
    expect(worker.health().ended).toMatchObject({ succeeded: 3, released: 0 })
  },
)
