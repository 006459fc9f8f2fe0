import { checkHistory, type HistoryToCheck } from '@errand/testkit'
import { describe, expect, it } from 'vitest'
import { story, succeeded } from './story.ts'

const found = (history: HistoryToCheck): string[] =>
  checkHistory(history).map(({ invariant, jobId, text }) => `${invariant} ${jobId}: ${text}`)

describe('I7: every history is a legal path, with nothing missing', () => {
  it('a missing event', () => {
    const events = succeeded('a').filter(({ type }) => type !== 'started')
    expect(found({ events, dispatched: ['a'] })).toEqual([
      'I7 a: version 3 (succeeded) follows 1: events are missing',
    ])
  })

  it('a missing beginning', () => {
    const events = succeeded('a').slice(1)
    expect(found({ events, dispatched: ['a'] })).toEqual([
      'I7 a: version 2 (started) follows nothing: events are missing',
    ])
  })

  it('one version twice', () => {
    const events = [
      ...succeeded('a'),
      ...story('a', [['fenced', 'running', 15]], { version: 2, run: 1, attempt: 1 }),
    ]
    expect(found({ events, dispatched: ['a'] })).toContain(
      'I7 a: version 2 stands for two events, started and fenced',
    )
  })

  it('a transition that the table does not know', () => {
    const events = story('a', [
      ['dispatched', 'blocked', 0],
      ['started', 'running', 1],
    ])
    expect(found({ events, dispatched: ['a'] })).toEqual([
      'I7 a: started leads from blocked to running (version 2)',
    ])
  })

  it('an event that leads to a state which is not its own', () => {
    const events = story('a', [
      ['dispatched', 'ready', 0],
      ['started', 'running', 1],
      ['succeeded', 'failed', 2],
    ])
    expect(found({ events, dispatched: ['a'] })).toEqual([
      'I7 a: succeeded leads from running to failed (version 3)',
    ])
  })

  it('an error that is the last one, without the failure that belongs to it', () => {
    const errored = story('a', [
      ['dispatched', 'ready', 0],
      ['started', 'running', 1],
      ['errored', 'running', 2],
    ])
    expect(found({ events: errored, dispatched: ['a'] })).toEqual([
      'I7 a: errored in state running is its last event: failed or cancelled is missing',
    ])
    const goingOn = story('a', [
      ['dispatched', 'ready', 0],
      ['started', 'running', 1],
      ['lost', 'running', 2],
      ['progressed', 'running', 3, { worker: 'worker-1' }],
    ])
    expect(found({ events: goingOn, dispatched: ['a'] })).toEqual([
      'I7 a: lost must be followed by failed or cancelled at once, not by progressed (version 4)',
    ])
  })

  it('counters that do not follow from the events', () => {
    const events = story('a', [
      ['dispatched', 'ready', 0],
      ['started', 'running', 1, { run: 2 }],
      ['snoozed', 'scheduled', 2, { run: 2, attempt: 1 }],
    ])
    expect(found({ events, dispatched: ['a'] })).toEqual([
      'I7 a: started (version 2) has run 2 where 1 follows from 0',
      'I7 a: snoozed (version 3) has attempt 1 where 0 follows from 1',
    ])
  })

  it('a job that goes on living although its cancellation was requested', () => {
    const events = story('a', [
      ['dispatched', 'ready', 0],
      ['started', 'running', 1],
      ['cancel_requested', 'running', 2],
      ['errored', 'scheduled', 3],
    ])
    expect(found({ events, dispatched: ['a'] })).toEqual([
      'I7 a: errored leads to scheduled (version 4) although its cancellation was requested',
    ])
  })
})
