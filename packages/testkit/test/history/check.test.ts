import { checkHistory, describeViolations, type HistoryToCheck } from '@errand/testkit'
import { describe, expect, it } from 'vitest'
import { story, succeeded } from './story.ts'

const found = (history: HistoryToCheck): string[] =>
  checkHistory(history).map(({ invariant, jobId, text }) => `${invariant} ${jobId}: ${text}`)

describe('a history in order', () => {
  it('has no violations: a success, a crash with a second run, a retry that fails for good and is replayed', () => {
    const events = [
      ...succeeded('a'),
      ...story('b', [
        ['dispatched', 'ready', 0],
        ['started', 'running', 1],
        ['progressed', 'running', 2, { worker: 'worker-1' }],
        ['lost', 'ready', 30],
        ['started', 'running', 31, { worker: 'worker-2' }],
        ['succeeded', 'succeeded', 40],
        ['fenced', 'succeeded', 50, { worker: 'worker-1' }],
      ]),
      ...story('c', [
        ['dispatched', 'scheduled', 0],
        ['due', 'ready', 5],
        ['started', 'running', 6],
        ['errored', 'scheduled', 7],
        ['due', 'ready', 8],
        ['started', 'running', 9],
        ['errored', 'running', 10],
        ['failed', 'failed', 10],
        ['replayed', 'ready', 20],
        ['started', 'running', 21],
        ['cancel_requested', 'running', 22],
        ['succeeded', 'succeeded', 23],
      ]),
    ]
    const ledger = [
      { jobId: 'a', run: 1, mark: 'began', worker: 'worker-1' },
      { jobId: 'a', run: 1, mark: 'ended' },
      { jobId: 'b', run: 1, mark: 'began', worker: 'worker-1' },
      { jobId: 'b', run: 2, mark: 'began', worker: 'worker-2' },
      { jobId: 'b', run: 2, mark: 'ended' },
      // A handler that outlives its claim may end: its result was fenced.
      { jobId: 'b', run: 1, mark: 'ended' },
      { jobId: 'c', run: 3, mark: 'began' },
      { jobId: 'c', run: 3, mark: 'ended' },
    ] as const
    expect(found({ events, dispatched: ['a', 'b', 'c'], ledger, live: [] })).toEqual([])
  })

  it('does not depend on the order in which events are given', () => {
    const events = [...succeeded('a'), ...succeeded('b')].toReversed()
    expect(found({ events, dispatched: ['a', 'b'] })).toEqual([])
  })

  it('is put into words for a report', () => {
    const text = describeViolations(checkHistory({ events: [], dispatched: ['a', 'b'] }))
    expect(text.split('\n')).toEqual([
      'I1 job a: was dispatched, and the log has no event of it',
      'I1 job b: was dispatched, and the log has no event of it',
    ])
  })
})

describe('I1: no dispatched job is lost', () => {
  it('a job without a trace', () => {
    expect(found({ events: succeeded('a'), dispatched: ['a', 'gone'] })).toEqual([
      'I1 gone: was dispatched, and the log has no event of it',
    ])
  })

  it('a job that has not ended and is not live', () => {
    const events = succeeded('a').slice(0, 2)
    expect(found({ events, dispatched: ['a'], live: [] })).toEqual([
      'I1 a: its history ends as running, and it is not live',
    ])
    expect(found({ events, dispatched: ['a'], live: ['a'] })).toEqual([])
  })

  it('a job that has ended and lives all the same', () => {
    expect(found({ events: succeeded('a'), dispatched: ['a'], live: ['a'] })).toEqual([
      'I1 a: its history ends as succeeded, and yet it is live',
    ])
  })

  it('a job that is recorded as done, though no handler did it', () => {
    const began = { jobId: 'a', run: 1, mark: 'began' } as const
    expect(found({ events: succeeded('a'), dispatched: ['a'], ledger: [began] })).toEqual([
      'I1 a: run 1 is recorded as succeeded, and no handler ended it',
    ])
  })
})

describe('I2: at most one success', () => {
  it('a job that succeeds twice', () => {
    const events = [
      ...succeeded('a'),
      ...story('a', [['succeeded', 'succeeded', 30]], { version: 4, run: 1, attempt: 1, worker: 'worker-1' }),
    ]
    expect(found({ events, dispatched: ['a'] })).toContain('I2 a: succeeded 2 times (run 1)')
  })

  it('a second success after a replay is another life', () => {
    const events = story('a', [
      ['dispatched', 'ready', 0],
      ['started', 'running', 1],
      ['succeeded', 'succeeded', 2],
      ['replayed', 'ready', 3],
      ['started', 'running', 4],
      ['succeeded', 'succeeded', 5],
    ])
    expect(found({ events, dispatched: ['a'] })).toEqual([])
  })
})

describe('I3: one start per run, one live claim', () => {
  it('a run that is started twice', () => {
    const events = [
      ...story('a', [
        ['dispatched', 'ready', 0],
        ['started', 'running', 1],
        ['lost', 'ready', 2],
      ]),
      ...story('a', [['started', 'running', 3]], { version: 4, run: 1, attempt: 1 }),
    ]
    expect(found({ events, dispatched: ['a'] })).toContain('I3 a: run 1 was started twice')
  })

  it('a run that is started while another holds the claim', () => {
    const events = story('a', [
      ['dispatched', 'ready', 0],
      ['started', 'running', 1],
      ['started', 'running', 2],
    ])
    expect(found({ events, dispatched: ['a'] })).toEqual([
      'I7 a: started leads from running to running (version 3)',
      'I3 a: run 2 was started while run 1 held the claim',
    ])
  })

  it('a start by nobody', () => {
    const events = story('a', [
      ['dispatched', 'ready', 0],
      ['started', 'running', 1, { worker: undefined }],
    ])
    expect(found({ events, dispatched: ['a'] })).toEqual(['I3 a: run 1 was started by no worker'])
  })

  it('a success that came from a worker without the claim', () => {
    const events = story('a', [
      ['dispatched', 'ready', 0],
      ['started', 'running', 1],
      ['succeeded', 'succeeded', 2, { worker: 'stranger' }],
    ])
    expect(found({ events, dispatched: ['a'] })).toEqual([
      'I3 a: succeeded came from run 1 of worker stranger, but run 1 of worker-1 held the claim',
    ])
  })

  it('a handler that runs without a claim, for another worker, or twice for one claim', () => {
    const ledger = [
      { jobId: 'a', run: 1, mark: 'began', worker: 'worker-9' },
      { jobId: 'a', run: 1, mark: 'ended' },
      { jobId: 'a', run: 1, mark: 'ended' },
      { jobId: 'a', run: 2, mark: 'began' },
    ] as const
    expect(found({ events: succeeded('a'), dispatched: ['a'], ledger })).toEqual([
      'I3 a: a handler of worker worker-9 began run 1, which was granted to worker-1',
      'I3 a: run 1 ended twice in the ledger: two handlers had one claim',
      'I3 a: a handler began run 2, which the log never granted',
    ])
  })
})

describe('I4: a finished job never starts again', () => {
  it.each([
    ['succeeded', [['succeeded', 'succeeded', 2]]],
    ['failed', [['failed', 'failed', 2]]],
    ['cancelled', [['cancelled', 'cancelled', 2]]],
  ] as const)('a job that starts after it has %s', (type, end) => {
    const events = story('a', [
      ['dispatched', 'ready', 0],
      ['started', 'running', 1],
      ...end,
      ['started', 'running', 3],
    ])
    expect(found({ events, dispatched: ['a'] })).toEqual([
      `I7 a: started leads from ${type} to running (version 4)`,
      `I4 a: run 2 was started after the job had ${type}, and nobody had replayed it`,
    ])
  })
})

describe("I6: onCrash 'fail' jobs are not started again after an end that nobody knows", () => {
  const dispatched = [{ id: 'a', onCrash: 'fail' }] as const

  it('a job that starts after its run was lost', () => {
    const events = story('a', [
      ['dispatched', 'ready', 0],
      ['started', 'running', 1],
      ['lost', 'ready', 2],
      ['started', 'running', 3],
    ])
    expect(found({ events, dispatched })).toEqual([
      "I6 a: run 2 was started although run 1 was interrupted and onCrash is 'fail'",
    ])
    expect(found({ events, dispatched: ['a'] })).toEqual([])
  })

  it('a release that does not say why', () => {
    const events = story('a', [
      ['dispatched', 'ready', 0],
      ['started', 'running', 1],
      ['released', 'ready', 2, { data: {} }],
    ])
    expect(found({ events, dispatched })).toEqual(['I7 a: released (version 3) does not say why: undefined'])
  })

  it('a job that starts after a release, though its handler had begun', () => {
    const events = story('a', [
      ['dispatched', 'ready', 0],
      ['started', 'running', 1],
      ['released', 'ready', 2],
      ['started', 'running', 3],
    ])
    const ledger = [
      { jobId: 'a', run: 1, mark: 'began' },
      { jobId: 'a', run: 2, mark: 'began' },
    ] as const
    expect(found({ events, dispatched, ledger: ledger.slice(1) })).toEqual([])
    expect(found({ events, dispatched, ledger })).toEqual([
      "I6 a: run 2 was started although the handler of run 1 had begun and onCrash is 'fail'",
    ])
  })

  it('a retry after an error, and a start after a replay, are in order', () => {
    const events = story('a', [
      ['dispatched', 'ready', 0],
      ['started', 'running', 1],
      ['errored', 'scheduled', 2],
      ['due', 'ready', 3],
      ['started', 'running', 4],
      ['lost', 'running', 5],
      ['failed', 'failed', 5],
      ['replayed', 'ready', 6],
      ['started', 'running', 7],
    ])
    expect(found({ events, dispatched })).toEqual([])
  })
})
