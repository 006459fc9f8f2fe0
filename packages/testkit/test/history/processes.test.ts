import { checkProcesses, describeViolations } from '@errand/testkit'
import type { ProcessRecord, Recovery } from '@errand/testkit'
import { describe, expect, it } from 'vitest'

const mib = 1_048_576

const found = (processes: readonly ProcessRecord[], recoveries: readonly Recovery[] = []): string =>
  describeViolations(checkProcesses(processes, recoveries))

const makeProcess = (...samples: readonly number[]): ProcessRecord => ({
  name: 'worker 1',
  said: '',
  memory: { samples: samples.map((sample) => sample * mib), limitBytes: 400 * mib },
})

describe('I8: processes stay up, or end loudly, in bounded memory, and work goes on in time', () => {
  it('one runs, one was killed, one was stopped, one ended with an error, and recovery is in time', () => {
    const processes = [
      { name: 'worker 1', said: '' },
      { name: 'worker 2', said: '', ended: 'SIGKILL', expected: ['SIGKILL'] },
      { name: 'worker 3', said: '', ended: 0, expected: [0] },
      { name: 'worker 4', said: 'E_LOG_VERSION: the schema is newer', ended: 1 },
    ]
    expect(found(processes, [{ what: 'its job runs again', ms: 4_000, limitMs: 8_000 }])).toBe('')
  })

  it('a process that ends in order although nobody had asked it to', () => {
    expect(found([{ name: 'worker 1', said: 'bye', ended: 0 }])).toBe(
      'I8 worker 1: ended with 0 although nobody had asked it to',
    )
  })

  it('a process that ends without a word', () => {
    expect(found([{ name: 'worker 1', said: '\n', ended: 1 }])).toBe(
      'I8 worker 1: ended with 1 and said nothing',
    )
  })

  it('a process that was asked to stop, and crashes', () => {
    expect(found([{ name: 'worker 1', said: 'oh', ended: 1, expected: [0] }])).toBe(
      'I8 worker 1: ended with 1 where 0 was expected',
    )
  })

  it('a process that uses more memory than it may', () => {
    expect(found([makeProcess(90, 120, 401, 90)])).toBe(
      'I8 worker 1: used 401 MiB of memory; the limit is 400 MiB',
    )
  })

  it('memory that grows below the limit, and memory that only warms up', () => {
    const growing = Array.from({ length: 80 }, (_, index) => 80 + index * 3)
    expect(found([makeProcess(...growing)])).toBe(
      'I8 worker 1: grows without an end: from 170 MiB to 290 MiB',
    )
    const warming = Array.from({ length: 80 }, (_, index) => Math.min(200, 80 + index * 8))
    expect(found([makeProcess(...warming)])).toBe('')
  })

  it('a recovery that comes too late, and one that never comes', () => {
    const recoveries = [
      { what: 'workers take again', ms: 10_400.4, limitMs: 10_000 },
      { what: 'a job starts', ms: undefined, limitMs: 10_000 },
    ]
    expect(found([], recoveries)).toBe(
      'I8 workers take again: took 10400 ms; the limit is 10000 ms\nI8 a job starts: did not come',
    )
  })
})
