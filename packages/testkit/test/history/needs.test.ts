import type { EventRecord, EventType, JobState, NeedMode } from '@errand/core/ports'
import { checkHistory } from '@errand/testkit'
import type { FlowToCheck } from '@errand/testkit'
import { describe, expect, it } from 'vitest'
import { story, succeeded } from './story.ts'

interface Given {
  readonly needs?: Readonly<Record<string, readonly [on: string, mode: NeedMode]>>
  readonly flows?: readonly FlowToCheck[]
}

function found(events: readonly EventRecord[], { needs = {}, flows }: Given): string[] {
  const dispatched = [
    ...new Set(events.filter(({ type }) => type === 'dispatched').map(({ jobId }) => jobId)),
  ]
  const all = Object.entries(needs).map(([id, [on, mode]]) => [id, [{ on, mode }]] as const)
  return checkHistory({ events, dispatched, needs: new Map(all), flows }).map(
    ({ invariant, jobId, text }) => `${invariant} ${jobId}: ${text}`,
  )
}

const failed = (id: string, from = 0): EventRecord[] =>
  story(id, [
    ['dispatched', 'ready', from],
    ['started', 'running', from + 10],
    ['failed', 'failed', from + 20],
  ])

const flow = (id: string, ...steps: [EventType, JobState, number, Partial<EventRecord>?][]): EventRecord[] =>
  story(id, steps)

describe('I9: what a job needs has ended before it starts', () => {
  it('a job that starts after it, or in the same millisecond', () => {
    const events = [...succeeded('a'), ...succeeded('b', 10)]
    expect(found(events, { needs: { b: ['a', 'succeeded'] } })).toEqual([])
  })

  it('a job that starts before it, or although it failed', () => {
    expect(found([...succeeded('a', 1), ...succeeded('b', 0)], { needs: { b: ['a', 'succeeded'] } })).toEqual(
      ['I9 b: run 1 was started before a had ended as it must (succeeded)'],
    )
    expect(found([...failed('a'), ...succeeded('b', 50)], { needs: { b: ['a', 'succeeded'] } })).toEqual([
      'I9 b: run 1 was started before a had ended as it must (succeeded)',
    ])
    expect(found([...failed('a'), ...succeeded('b', 50)], { needs: { b: ['a', 'ended'] } })).toEqual([])
    expect(found([...failed('a'), ...succeeded('b', 50)], { needs: { b: ['a', 'unsuccessful'] } })).toEqual(
      [],
    )
  })

  it('a job whose history is gone is not judged', () => {
    expect(found(succeeded('b'), { needs: { b: ['gone', 'succeeded'] } })).toEqual([])
  })
})

describe('I11: nothing is cancelled for nothing', () => {
  const cancelled = (on: string): EventRecord[] =>
    story('b', [
      ['dispatched', 'blocked', 0],
      ['cancelled', 'cancelled', 60, { data: { cause: 'need', needs: [on] } }],
    ])

  it('a job that is cancelled because of one that failed, and one that is not', () => {
    const needs = { b: ['a', 'succeeded'] } as const
    expect(found([...failed('a'), ...cancelled('a')], { needs })).toEqual([])
    expect(found([...succeeded('a'), ...cancelled('a')], { needs })).toEqual([
      'I11 b: was cancelled because of a, which had not ended otherwise than it must',
    ])
    expect(found([...failed('c'), ...failed('a'), ...cancelled('c')], { needs })).toEqual([
      'I11 b: was cancelled because of c, which had not ended otherwise than it must',
    ])
  })
})

describe('I10: a flow ends once, after its members', () => {
  const counts = { total: 2, succeeded: 1, failed: 1, cancelled: 0, forgiven: 0 }
  const flows = [{ id: 'f', members: ['a', 'b'] }]
  const members = [...succeeded('a'), ...failed('b')]
  const begun = ['flow_dispatched', 'running', 0] as const

  it('a flow whose counts are those of its members', () => {
    const events = flow('f', [...begun], ['flow_ended', 'failed', 30, { data: { counts } }])
    expect(found([...members, ...events], { flows })).toEqual([])
  })

  it('a flow that ends before a member, or with other counts', () => {
    const early = flow('f', [...begun], ['flow_ended', 'failed', 15, { data: { counts } }])
    expect(found([...members, ...early], { flows })).toEqual([
      'I10 f: has ended before its member a',
      'I10 f: has ended before its member b',
    ])
    const other = { ...counts, succeeded: 2, failed: 0 }
    const wrong = flow('f', [...begun], ['flow_ended', 'succeeded', 30, { data: { counts: other } }])
    expect(found([...members, ...wrong], { flows })).toHaveLength(1)
  })

  it('a flow that lets go both of two callbacks', () => {
    const events = flow('f', [...begun], ['flow_ended', 'failed', 30, { data: { counts } }])
    const callbacks = [...succeeded('good', 40), ...succeeded('bad', 40)]
    const needs = { good: ['f', 'succeeded'], bad: ['f', 'unsuccessful'] } as const
    expect(found([...members, ...events, ...callbacks], { flows, needs })).toEqual([
      'I9 good: run 1 was started before f had ended as it must (succeeded)',
      'I10 f: has let go both good, which needs its success, and bad',
    ])
  })
})
