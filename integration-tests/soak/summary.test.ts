import { expect, test } from 'vitest'
import { describeSummary, passed, summarize } from './summary.ts'
import type { Told } from './summary.ts'

const mib = 1_048_576
const told: Told = {
  place: 'postgres',
  seed: 7,
  lastedMs: 61_234,
  checkpoints: 1,
  jobs: { succeeded: 9_000, failed: 20 },
  events: { dispatched: 9_020 },
  faults: ['worker killed', 'database down', 'worker killed'],
  recoveries: [
    { fault: 'worker killed', what: 'its jobs run again', ms: 3_000, limitMs: 8_000 },
    { fault: 'worker killed', what: 'its jobs run again', ms: 5_000, limitMs: 8_000 },
    { fault: 'database down', what: 'a job starts', ms: undefined, limitMs: 10_000 },
  ],
  lives: [
    {
      name: 'worker 1',
      program: 'worker',
      ended: undefined,
      asked: true,
      memory: { values: [100 * mib, 120 * mib, 110 * mib], maxBytes: 120 * mib },
    },
    {
      name: 'worker 2',
      program: 'worker',
      ended: 'SIGKILL',
      asked: true,
      memory: { values: [], maxBytes: 0 },
    },
    {
      name: 'worker 3',
      program: 'worker',
      ended: 1,
      asked: false,
      memory: { values: [90 * mib], maxBytes: 90 * mib },
    },
  ],
  violations: ['I8 a job starts: did not come (database down)'],
}

test('the summary shows each fault with its recoveries, the memory of each process, and every violation', () => {
  const summary = summarize(told)
  const text = describeSummary(summary)
  expect(text).toContain('Soak on PostgreSQL: 61.2 s, 3 faults, 1 checkpoints, seed 7')
  expect(text).toContain('9,020 dispatched; 9,000 succeeded, 20 failed')
  expect(text).toMatch(/worker killed +its jobs run again +2 +5\.0 s +5\.0 s +8\.0 s/)
  expect(text).toMatch(/database down +a job starts +1 +0\.0 s +never +10\.0 s/)
  expect(text).toMatch(/worker 1 +100 MiB +110 MiB +120 MiB/)
  expect(text).toMatch(/workers that ended +90 MiB +90 MiB +90 MiB/)
  expect(text).toContain('worker: SIGKILL (1×), worker: 1 by itself (1×)')
  expect(text).toContain('1 VIOLATIONS:\nI8 a job starts: did not come')
  expect(passed(summary)).toBe(false)
  expect(passed(summarize({ ...told, violations: [] }))).toBe(true)
})
