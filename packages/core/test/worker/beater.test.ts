import { expect, test } from 'vitest'
import { ErrandError } from '../../src/errors.ts'
import type { Progress } from '../../src/ports/job-log.ts'
import { virtualClock } from '../../src/testing/virtual-clock.ts'
import { Beater } from '../../src/worker/lease/beater.ts'

const clock = virtualClock()
const makeProgress = (id: string): Progress => ({ id, run: 1, value: 50 })

test('a progress that the log refuses for good costs neither the lease nor the progress of other runs', async () => {
  const told: string[] = []
  let answeredMs = clock.monotonicMs()
  let longestMs = 0
  const beater = new Beater({
    beat: async ({ progress }) => {
      if (progress.some(({ id }) => id === 'poisoned')) throw new ErrandError('E_LOG', 'it cannot be stored')
      told.push(...progress.map(({ id }) => id))
      return { claims: [], paused: [], stop: false, transfer: undefined }
    },
    intervalMs: 10_000,
    leaseMs: 30_000,
    clock,
    status: { queues: ['q'], taking: true },
    answered: (_, { sentMs }) => {
      longestMs = Math.max(longestMs, sentMs - answeredMs)
      answeredMs = sentMs
    },
    failed: () => undefined,
  })
  const others = Array.from({ length: 300 }, (_, index) => `other ${index}`)
  const reports = [...others.slice(0, 170), 'poisoned', ...others.slice(170)]
  for (const [index, id] of reports.entries()) beater.progress(makeProgress(id), index + 1)
  const stop = new AbortController()
  const running = beater.run(stop.signal)
  await clock.advance(9_000)
  expect(told.toSorted()).toEqual(others.toSorted())
  expect(longestMs).toBeLessThan(1_000)
  // The next one of the same run is another.
  beater.progress(makeProgress('later'), reports.length + 1)
  await clock.advance(11_000)
  expect(told).toContain('later')
  stop.abort()
  await running
})
