import { expect, test } from 'vitest'
import { defineJob, handle } from '../../src/index.ts'
import { eventually, stage } from './stage.ts'

const good = defineJob({ name: 'good' })
const bad = defineJob({ name: 'bad', retry: { attempts: 1 } })
const gone = defineJob({ name: 'gone' })

test('a worker tells how many of its runs have ended, by what was recorded', async () => {
  await using on = stage()
  const worker = await on.work({
    handlers: [
      handle(good, () => undefined),
      handle(bad, () => {
        throw new Error('it does not work')
      }),
      handle(gone, (_, ctx) => ctx.cancel()),
    ],
  })
  expect(worker.health()).toMatchObject({ taking: true, running: 0, ended: { succeeded: 0, failed: 0 } })
  await on.errand.dispatchMany([
    good.with(undefined),
    good.with(undefined),
    bad.with(undefined),
    gone.with(undefined),
  ])
  await eventually(() => {
    expect(worker.health()).toEqual({
      taking: true,
      running: 0,
      prefetched: 0,
      ended: {
        succeeded: 2,
        failed: 1,
        cancelled: 1,
        errored: 0,
        snoozed: 0,
        suspended: 0,
        released: 0,
        fenced: 0,
      },
    })
  })
})
