import type { EventRecord } from '@errand/core/ports'
import { checkHistory, type DispatchedJob } from '@errand/testkit'
import { describe, expect, it } from 'vitest'
import { story, succeeded } from './story.ts'

const found = (events: readonly EventRecord[], dispatched: readonly DispatchedJob[]): string[] =>
  checkHistory({ events, dispatched }).map(({ invariant, jobId, text }) => `${invariant} ${jobId}: ${text}`)

const tick = (id: string, at: number | undefined, overlap?: 'skip'): DispatchedJob => ({
  id,
  tick: { schedule: 's', at, overlap },
})

describe('I16: each tick of a schedule once', () => {
  it('ticks whose moments grow, however long their jobs live', () => {
    const events = [...succeeded('a'), ...succeeded('b', 5), ...succeeded('c', 7)]
    const other = { id: 'c', tick: { schedule: 'other', at: 1 } }
    expect(found(events, [tick('a', 1), tick('b', 2), other])).toEqual([])
  })

  it('a moment that has two jobs, or comes after a later one', () => {
    const events = ['a', 'b', 'c', 'd'].flatMap((id) => succeeded(id))
    expect(found(events, [tick('a', 2), tick('b', 2), tick('c', 1), tick('d', 3)])).toEqual([
      'I16 b: is a second job of the tick 2 of s',
      'I16 c: is of the tick 1 of s, which came after 2',
    ])
  })

  it('triggers are outside of the series, whenever they come', () => {
    const events = ['a', 'b', 'c', 'd'].flatMap((id) => succeeded(id))
    const jobs = [tick('a', 2), tick('b', undefined), tick('c', undefined), tick('d', 3)]
    expect(found(events, jobs)).toEqual([])
  })

  it('with overlap: skip, a job that is dispatched while the last one lives', () => {
    const waits = story('a', [
      ['dispatched', 'ready', 0],
      ['started', 'running', 1],
      ['errored', 'scheduled', 2],
    ])
    expect(found([...waits, ...succeeded('b', 5)], [tick('a', 1), tick('b', 2, 'skip')])).toEqual([
      'I16 b: was dispatched by s while its last job a was live',
    ])
    expect(found([...waits, ...succeeded('b', 5)], [tick('a', 1), tick('b', 2)])).toEqual([])
    // In the same millisecond they are in order either way.
    expect(found([...succeeded('a'), ...succeeded('b', 20)], [tick('a', 1), tick('b', 2, 'skip')])).toEqual(
      [],
    )
    const triggered = [tick('a', 1, 'skip'), tick('b', undefined, 'skip')]
    expect(found([...succeeded('a'), ...succeeded('b', 19)], triggered)).toEqual([
      'I16 b: was dispatched by s while its last job a was live',
    ])
  })
})
