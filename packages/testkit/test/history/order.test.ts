import type { EventRecord } from '@errand/core/ports'
import { checkHistory, type HistoryToCheck } from '@errand/testkit'
import { describe, expect, it } from 'vitest'
import { story } from './story.ts'

const found = (history: HistoryToCheck): string[] =>
  checkHistory(history).map(({ invariant, jobId, text }) => `${invariant} ${jobId}: ${text}`)

const keyed = { data: { orderingKey: 'k' } }

/** The life of a job of the key, by its times. One that is unblocked was blocked before. */
function live(
  jobId: string,
  at: {
    readonly dispatched: number
    readonly unblocked?: number
    readonly started: number
    readonly succeeded?: number
  },
): EventRecord[] {
  return story(jobId, [
    ['dispatched', at.unblocked === undefined ? 'ready' : 'blocked', at.dispatched, keyed],
    ...(at.unblocked === undefined ? [] : [['unblocked', 'ready', at.unblocked] as const]),
    ['started', 'running', at.started],
    ...(at.succeeded === undefined ? [] : [['succeeded', 'succeeded', at.succeeded] as const]),
  ])
}

describe('I5: the order of keys', () => {
  it('jobs of one key, one after another, also within one millisecond', () => {
    const events = [
      ...live('a', { dispatched: 0, started: 5, succeeded: 5 }),
      ...live('b', { dispatched: 0, unblocked: 5, started: 5, succeeded: 9 }),
    ]
    expect(found({ events, dispatched: ['a', 'b'] })).toEqual([])
  })

  it('a job that runs while its predecessor does', () => {
    const events = [
      ...live('a', { dispatched: 0, started: 5, succeeded: 20 }),
      ...live('b', { dispatched: 1, started: 10, succeeded: 30 }),
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
      ...live('b', { dispatched: 1, started: 3, succeeded: 4 }),
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
      ...live('b', { dispatched: 1, started: 3, succeeded: 4 }),
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
      ...live('b', { dispatched: 1, unblocked: 9, started: 9 }),
    ]
    const dispatched = [
      { id: 'a', onFailure: 'block' },
      { id: 'b', onFailure: 'block' },
    ] as const
    expect(found({ events, dispatched })).toEqual([])
  })

  it('a replayed job comes after the one that holds the key, and before the next', () => {
    const b = live('b', { dispatched: 0, unblocked: 5, started: 12, succeeded: 20 })
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
      ...live('a', { dispatched: 0, started: 5 }),
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
    const passed = live('b', { dispatched: 2, started: 3, succeeded: 4 })
    const ledger = [
      { jobId: 'b', run: 1, mark: 'began' },
      { jobId: 'b', run: 1, mark: 'ended' },
      { jobId: 'a', run: 1, mark: 'began' },
      { jobId: 'a', run: 1, mark: 'ended' },
    ] as const
    expect(found({ events: [...cancelled, ...passed], dispatched: ['a', 'b'], ledger })).toEqual([])
  })
})
