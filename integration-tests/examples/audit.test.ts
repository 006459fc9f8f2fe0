import type { JobEvent } from '@errand/core'
import { describe, expect, it } from 'vitest'
import { audit } from '../../examples/demo/audit/audit.ts'
import type { Dispatched } from '../../examples/demo/audit/audit.ts'
import type { LedgerLine } from '../../examples/demo/ledger.ts'

/** A small world: jobs, what the log says of them, and what their handlers wrote, in order. */
class World {
  readonly dispatched: Dispatched[] = []
  readonly histories = new Map<string, JobEvent[]>()
  readonly ledger: LedgerLine[] = []
  #now = 0

  dispatch(id: string, key?: string): void {
    this.dispatched.push({ id, label: id, key })
    this.event(id, 'dispatched', 0)
  }
  event(id: string, type: JobEvent['type'], run: number, worker = 'w1'): void {
    const history = this.histories.get(id) ?? []
    this.#now += 1
    const event = { jobId: id, type, run, worker, at: new Date(this.#now), version: history.length + 1 }
    this.histories.set(id, [...history, event as unknown as JobEvent])
  }
  says(id: string, event: 'start' | 'end', run: number, ok = true): void {
    const key = this.dispatched.find((job) => job.id === id)?.key ?? null
    const line = { event, job: id, run, pid: 7, at: 0, key }
    this.ledger.push(event === 'end' ? { ...line, ok } : line)
  }
  /** A run from its start to its success. */
  run(id: string, run = 1): void {
    this.event(id, 'started', run)
    this.says(id, 'start', run)
    this.says(id, 'end', run)
    this.event(id, 'succeeded', run)
  }
  lose(id: string, run = 1): void {
    this.event(id, 'started', run)
    this.says(id, 'start', run)
    this.event(id, 'lost', run)
  }
}

function world(): World {
  const it = new World()
  it.dispatch('plain')
  it.dispatch('first', 'row')
  it.dispatch('second', 'row')
  return it
}

describe("the demo's audit", () => {
  it('has nothing to say when every job succeeded once, in order', () => {
    const all = world()
    for (const id of ['plain', 'first', 'second']) all.run(id)
    expect(audit(all)).toMatchObject({
      dispatched: 3,
      succeededOnce: 3,
      lostAndRunAgain: 0,
      outOfOrder: 0,
      findings: [],
    })
  })

  it('counts a job that was lost and ran again, and finds no fault with it', () => {
    const all = world()
    all.lose('plain')
    all.run('plain', 2)
    all.lose('first')
    all.run('first', 2)
    all.run('second')
    expect(audit(all)).toMatchObject({ succeededOnce: 3, lostAndRunAgain: 2, outOfOrder: 0, findings: [] })
  })

  it('allows work that was finished by a worker that died before it could say so', () => {
    const all = world()
    all.lose('plain')
    all.says('plain', 'end', 1)
    all.run('plain', 2)
    all.run('first')
    all.run('second')
    expect(audit(all).findings).toEqual([])
  })

  it('finds a run that the log never granted', () => {
    const all = world()
    for (const id of ['plain', 'first', 'second']) all.run(id)
    all.says('plain', 'start', 2)
    all.says('plain', 'end', 2)
    expect(audit(all).findings).toEqual(['plain: process 7 ran it as run 2, which the log never granted'])
  })

  it('finds a run that was done twice', () => {
    const all = world()
    for (const id of ['plain', 'first', 'second']) all.run(id)
    all.says('plain', 'start', 1)
    all.says('plain', 'end', 1)
    expect(audit(all).findings).toEqual([
      'plain: the handlers wrote "start, end, start, end" for run 1, instead of one start and one end',
    ])
  })

  it('finds a success that no handler knows of', () => {
    const all = world()
    all.event('plain', 'started', 1)
    all.event('plain', 'succeeded', 1)
    all.run('first')
    all.run('second')
    expect(audit(all).findings).toEqual([
      'plain: the log says that run 1 succeeded, and its handler never finished it',
    ])
  })

  it('finds a handler that finished a run which the log does not count', () => {
    const all = world()
    all.event('plain', 'started', 1)
    all.says('plain', 'start', 1)
    all.says('plain', 'end', 1)
    all.event('plain', 'errored', 1)
    all.run('plain', 2)
    all.run('first')
    all.run('second')
    expect(audit(all).findings).toEqual(['plain: a handler finished run 1, which the log ended as errored'])
  })

  it('finds a job that succeeded twice, and one that never did', () => {
    const all = world()
    all.run('plain')
    all.run('plain', 2)
    all.run('first')
    const result = audit(all)
    expect(result.succeededOnce).toBe(1)
    expect(result.findings).toEqual([
      'plain: succeeded 2 times',
      'second: succeeded 0 times',
      'second: its history ends with dispatched',
    ])
  })

  it('finds jobs of one key that ran out of order', () => {
    const all = world()
    for (const id of ['plain', 'second', 'first']) all.run(id)
    const result = audit(all)
    expect(result.outOfOrder).toBe(1)
    expect(result.findings).toEqual(['second began before first had ended (key row)'])
  })

  it('finds jobs of one key that overlapped, though the log says that they did not', () => {
    const all = world()
    all.run('plain')
    all.event('first', 'started', 1)
    all.says('first', 'start', 1)
    all.event('first', 'succeeded', 1)
    all.event('second', 'started', 1)
    all.says('second', 'start', 1)
    all.says('first', 'end', 1)
    all.says('second', 'end', 1)
    all.event('second', 'succeeded', 1)
    expect(audit(all)).toMatchObject({ outOfOrder: 1, findings: [expect.stringContaining('second began before first')] })
  })

  it('finds a job that nobody dispatched, and one that the log has forgotten', () => {
    const all = world()
    for (const id of ['plain', 'first', 'second']) all.run(id)
    all.says('stranger', 'start', 1)
    all.histories.delete('plain')
    expect(audit(all).findings).toEqual([
      'plain: the log knows nothing of job plain',
      'the handlers ran job stranger, which nobody dispatched',
      'plain: process 7 ran it as run 1, which the log never granted',
    ])
  })
})
