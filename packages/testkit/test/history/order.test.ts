import { checkHistory, type HistoryToCheck } from '@errand/testkit'
import { describe, expect, it } from 'vitest'
import { story } from './story.ts'

const found = (history: HistoryToCheck): string[] =>
  checkHistory(history).map(({ invariant, jobId, text }) => `${invariant} ${jobId}: ${text}`)

const keyed = { data: { orderingKey: 'k' } }

describe('I5: the order of keys', () => {
  it('jobs of one key, one after another, also within one millisecond', () => {
    const events = [
      ...story('a', [
        ['dispatched', 'ready', 0, keyed],
        ['started', 'running', 5],
        ['succeeded', 'succeeded', 5],
      ]),
      ...story('b', [
        ['dispatched', 'blocked', 0, keyed],
        ['unblocked', 'ready', 5],
        ['started', 'running', 5],
        ['succeeded', 'succeeded', 9],
      ]),
    ]
    expect(found({ events, dispatched: ['a', 'b'] })).toEqual([])
  })

  it('a job that runs while its predecessor does', () => {
    const events = [
      ...story('a', [
        ['dispatched', 'ready', 0, keyed],
        ['started', 'running', 5],
        ['succeeded', 'succeeded', 20],
      ]),
      ...story('b', [
        ['dispatched', 'ready', 1, keyed],
        ['started', 'running', 10],
        ['succeeded', 'succeeded', 30],
      ]),
    ]
    expect(found({ events, dispatched: ['a', 'b'] })).toEqual([
      'I5 b: ran while job a of the same key ["q","k"] was running',
      'I5 b: was started before its predecessor a of key ["q","k"], which ended 10 ms later',
    ])
  })

  it('a job that overtakes one that waits for its retry', () => {
    const events = [
      ...story('a', [
        ['dispatched', 'ready', 0, keyed],
        ['started', 'running', 1],
        ['errored', 'scheduled', 2],
      ]),
      ...story('b', [
        ['dispatched', 'ready', 1, keyed],
        ['started', 'running', 3],
        ['succeeded', 'succeeded', 4],
      ]),
    ]
    expect(found({ events, dispatched: ['a', 'b'] })).toEqual([
      'I5 b: was started before its predecessor a of key ["q","k"], which has not ended',
    ])
  })

  it('a job that goes on behind a failed one under block, which is in order under skip', () => {
    const events = [
      ...story('a', [
        ['dispatched', 'ready', 0, keyed],
        ['started', 'running', 1],
        ['failed', 'failed', 2],
      ]),
      ...story('b', [
        ['dispatched', 'ready', 1, keyed],
        ['started', 'running', 3],
        ['succeeded', 'succeeded', 4],
      ]),
    ]
    const dispatched = (onFailure: 'block' | 'skip') => [
      { id: 'a', onFailure },
      { id: 'b', onFailure },
    ]
    expect(found({ events, dispatched: dispatched('block') })).toEqual([
      'I5 b: was started before its predecessor a of key ["q","k"], which has not ended',
    ])
    expect(found({ events, dispatched: dispatched('skip') })).toEqual([])
  })

  it('a failed job that an operator skipped has passed its key on', () => {
    const events = [
      ...story('a', [
        ['dispatched', 'ready', 0, keyed],
        ['started', 'running', 1],
        ['failed', 'failed', 2],
        ['skipped', 'failed', 9],
      ]),
      ...story('b', [
        ['dispatched', 'blocked', 1, keyed],
        ['unblocked', 'ready', 9],
        ['started', 'running', 9],
      ]),
    ]
    const dispatched = [
      { id: 'a', onFailure: 'block' },
      { id: 'b', onFailure: 'block' },
    ] as const
    expect(found({ events, dispatched })).toEqual([])
  })

  it('a replayed job comes after the one that holds the key, and before the next', () => {
    const b = story('b', [
      ['dispatched', 'blocked', 0, keyed],
      ['unblocked', 'ready', 5],
      ['started', 'running', 12],
      ['succeeded', 'succeeded', 20],
    ])
    const a = (end: number) =>
      story('a', [
        ['dispatched', 'ready', 0, keyed],
        ['started', 'running', 1],
        ['succeeded', 'succeeded', 5],
        ['replayed', 'blocked', 10],
        ['unblocked', 'ready', end - 5],
        ['started', 'running', end - 4],
        ['succeeded', 'succeeded', end],
      ])
    const c = (unblocked: number) =>
      story('c', [
        ['dispatched', 'blocked', 0, keyed],
        ['unblocked', 'ready', unblocked],
      ])
    expect(found({ events: [...a(25), ...b, ...c(25)], dispatched: ['a', 'b', 'c'] })).toEqual([])
    expect(found({ events: [...a(45), ...b, ...c(20)], dispatched: ['a', 'b', 'c'] })).toEqual([
      'I5 c: was given key ["q","k"] although job a was replayed and came before it',
    ])
  })

  it('keys of two queues have nothing to do with each other', () => {
    const events = [
      ...story('a', [
        ['dispatched', 'ready', 0, keyed],
        ['started', 'running', 5],
      ]),
      ...story(
        'b',
        [
          ['dispatched', 'ready', 1, keyed],
          ['started', 'running', 6],
        ],
        { queue: 'other' },
      ),
    ]
    expect(found({ events, dispatched: ['a', 'b'] })).toEqual([])
  })

  it('handlers whose own lines are out of order', () => {
    const life = (id: string, from: number) =>
      story(id, [
        ['dispatched', 'ready', 0, keyed],
        ['started', 'running', from],
        ['succeeded', 'succeeded', from + 1],
      ])
    const ledger = [
      { jobId: 'a', run: 1, mark: 'began' },
      { jobId: 'b', run: 1, mark: 'began' },
      { jobId: 'a', run: 1, mark: 'ended' },
      { jobId: 'b', run: 1, mark: 'ended' },
    ] as const
    expect(found({ events: [...life('a', 1), ...life('b', 5)], dispatched: ['a', 'b'], ledger })).toEqual([
      'I5 b: its handler began before that of its predecessor a of key ["q","k"] had ended',
    ])
  })

  it('not a job that was cancelled, and succeeded when it was replayed: its key had gone on', () => {
    const cancelled = story('a', [
      ['dispatched', 'ready', 0, keyed],
      ['cancelled', 'cancelled', 1],
      ['replayed', 'ready', 10],
      ['started', 'running', 11],
      ['succeeded', 'succeeded', 12],
    ])
    const passed = story('b', [
      ['dispatched', 'ready', 2, keyed],
      ['started', 'running', 3],
      ['succeeded', 'succeeded', 4],
    ])
    const ledger = [
      { jobId: 'b', run: 1, mark: 'began' },
      { jobId: 'b', run: 1, mark: 'ended' },
      { jobId: 'a', run: 1, mark: 'began' },
      { jobId: 'a', run: 1, mark: 'ended' },
    ] as const
    expect(found({ events: [...cancelled, ...passed], dispatched: ['a', 'b'], ledger })).toEqual([])
  })
})
