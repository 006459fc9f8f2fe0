import type { JobEvent } from '@errand/core'
import { describe, expect, it } from 'vitest'
import { audit } from '../../examples/demo/audit/audit.ts'
import type { Dispatched } from '../../examples/demo/audit/audit.ts'
import type { Remembered } from '../../examples/demo/audit/steps.ts'
import type { LedgerLine } from '../../examples/demo/ledger.ts'

/** A small world: jobs, what the log says of them, and what their handlers wrote, in order. */
class World {
  readonly dispatched: Dispatched[] = []
  readonly histories = new Map<string, JobEvent[]>()
  readonly memories = new Map<string, Remembered[]>()
  readonly ledger: LedgerLine[] = []
  readonly #keys = new Map<string, string | undefined>()
  #now = 0

  dispatch(id: string, key?: string, steps?: readonly string[]): void {
    this.dispatched.push({ id, label: `the ${id} job`, ...(steps && { steps }) })
    this.#keys.set(id, key)
    this.#event(id, 'dispatched', 'ready')
  }
  start(id: string): void {
    this.#event(id, 'started', 'running', { run: 1, attempt: 1 })
    this.says(id, 'began')
  }
  succeed(id: string): void {
    this.says(id, 'ended')
    this.#event(id, 'succeeded', 'succeeded')
  }
  lose(id: string): void {
    this.#event(id, 'lost', 'ready', { attempt: -1 })
  }
  act(id: string, step: string): void {
    const run = this.#last(id)?.run ?? 0
    this.ledger.push({ mark: 'acted', step, jobId: id, run, pid: 7, at: 0, key: null })
  }
  remember(id: string, name: string): void {
    const run = this.#last(id)?.run ?? 0
    this.memories.set(id, [...(this.memories.get(id) ?? []), { name, run }])
  }
  step(id: string, name: string): void {
    this.act(id, name)
    this.remember(id, name)
  }
  run(...ids: string[]): void {
    for (const id of ids) {
      this.start(id)
      this.succeed(id)
    }
  }
  says(id: string, mark: LedgerLine['mark'], run = this.#last(id)?.run ?? 0): void {
    this.ledger.push({ mark, jobId: id, run, pid: 7, at: 0, key: this.#keys.get(id) ?? null })
  }
  #last(id: string): JobEvent | undefined {
    return this.histories.get(id)?.at(-1)
  }
  #event(id: string, type: string, state: string, counted: { run?: number; attempt?: number } = {}): void {
    const last = this.#last(id)
    this.#now += 1
    const event = {
      cursor: '',
      jobId: id,
      type,
      state,
      name: 'a.job',
      queue: 'default',
      tags: [],
      worker: 'w1',
      at: new Date(this.#now),
      version: (last?.version ?? 0) + 1,
      run: (last?.run ?? 0) + (counted.run ?? 0),
      attempt: (last?.attempt ?? 0) + (counted.attempt ?? 0),
      orderingKey: this.#keys.get(id),
    }
    this.histories.set(id, [...(this.histories.get(id) ?? []), event as unknown as JobEvent])
  }
}

/** Besides a plain job: an order whose worker died between its two steps. */
function order(): World {
  const all = new World()
  all.dispatch('order', undefined, ['charge', 'ship'])
  all.start('order')
  all.step('order', 'charge')
  all.lose('order')
  all.start('order')
  return all
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
    all.run('plain', 'first', 'second')
    expect(audit(all)).toEqual({
      dispatched: 3,
      succeededOnce: 3,
      lostAndRunAgain: 0,
      outOfOrder: 0,
      stepsOnce: 0,
      events: 9,
      lines: 6,
      findings: [],
    })
  })

  it('counts a job that was lost and ran again, and finds no fault with it', () => {
    const all = world()
    all.start('plain')
    all.lose('plain')
    all.start('first')
    all.lose('first')
    all.run('plain', 'first', 'second')
    expect(audit(all)).toMatchObject({ succeededOnce: 3, lostAndRunAgain: 2, outOfOrder: 0, findings: [] })
  })

  it('allows work that was finished by a worker that died before it could say so', () => {
    const all = world()
    all.start('plain')
    all.says('plain', 'ended')
    all.lose('plain')
    all.run('plain', 'first', 'second')
    expect(audit(all)).toMatchObject({ lostAndRunAgain: 1, findings: [] })
  })

  it('finds a run that the log never granted', () => {
    const all = world()
    all.run('plain', 'first', 'second')
    all.says('plain', 'began', 2)
    expect(audit(all).findings).toEqual([
      expect.stringContaining('the plain job: a handler began run 2, which the log never granted'),
    ])
  })

  it('finds a run that was done twice', () => {
    const all = world()
    all.run('plain', 'first', 'second')
    all.says('plain', 'began', 1)
    expect(audit(all).findings).toEqual([expect.stringContaining('two handlers had one claim')])
  })

  it('finds a success that no handler knows of, and one of a handler that threw', () => {
    const all = world()
    all.run('plain', 'first', 'second')
    const { dispatched, histories, memories } = all
    const [began, ended, ...others] = all.ledger
    expect(audit({ dispatched, histories, memories, ledger: others }).findings).toHaveLength(1)
    const threw = [began, { ...ended, mark: 'threw' }, ...others] as LedgerLine[]
    expect(audit({ dispatched, histories, memories, ledger: threw }).findings).toEqual([
      expect.stringContaining('no handler ended it'),
    ])
  })

  it('finds a job that succeeded twice, and one that never did', () => {
    const all = world()
    all.run('plain', 'plain', 'first')
    const { succeededOnce, findings } = audit(all)
    expect(succeededOnce).toBe(1)
    expect(findings).toContainEqual(expect.stringContaining('the second job never succeeded'))
    expect(findings).toContainEqual(expect.stringContaining('the plain job: succeeded 2 times'))
  })

  it('finds jobs of one key that ran out of order', () => {
    const all = world()
    all.run('plain', 'second', 'first')
    expect(audit(all)).toMatchObject({
      outOfOrder: 1,
      findings: expect.arrayContaining([expect.stringContaining('the second job')]),
    })
  })

  it('finds jobs of one key whose handlers overlapped, though the log says that they did not', () => {
    const all = world()
    all.run('plain', 'first', 'second')
    const end = all.ledger.findIndex(({ jobId, mark }) => jobId === 'first' && mark === 'ended')
    const [line] = all.ledger.splice(end, 1)
    if (line) all.ledger.push(line)
    expect(audit(all)).toMatchObject({
      outOfOrder: 1,
      findings: [expect.stringContaining('its handler began before')],
    })
  })

  it('counts the steps of a job that went on elsewhere, each in its run', () => {
    const all = order()
    all.step('order', 'ship')
    all.succeed('order')
    expect(audit(all)).toMatchObject({ stepsOnce: 2, lostAndRunAgain: 1, findings: [] })
  })

  it('finds a step that acted twice, and one that never did', () => {
    const all = order()
    all.act('order', 'charge')
    all.succeed('order')
    expect(audit(all)).toMatchObject({
      stepsOnce: 0,
      findings: [
        'the order job: its step charge acted 2 times (job order)',
        'the order job: its step ship acted 0 times (job order)',
      ],
    })
  })

  it('finds a step that the log does not remember, or of another run, and one that nobody knows', () => {
    const all = order()
    all.act('order', 'ship')
    all.step('order', 'refund')
    all.memories.set('order', [
      { name: 'charge', run: 2 },
      { name: 'refund', run: 2 },
    ])
    all.succeed('order')
    expect(audit(all).findings).toEqual([
      'the order job: its step charge acted in run 1, and the log remembers it of run 2 (job order)',
      'the order job: its step ship acted, and the log does not remember it (job order)',
      'the order job: its step refund is none that its dispatcher knows (job order)',
    ])
  })

  it('finds a job that nobody dispatched, and one that the log has forgotten', () => {
    const all = world()
    all.run('plain', 'first', 'second')
    all.says('stranger', 'began', 1)
    all.histories.delete('plain')
    const { findings } = audit(all)
    expect(findings).toContainEqual(
      expect.stringContaining('a job that nobody dispatched: a handler began run 1'),
    )
    expect(findings).toContainEqual(
      expect.stringContaining('the plain job: was dispatched, and the log has no event of it'),
    )
  })
})
