// What suspended jobs cost a worker, and how soon they go on.
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, inject, it } from 'vitest'
import { defineJob, defineMessage, handle } from '@errand/core'
import { until } from '@errand/testkit'
import { pause } from '../fleet/looks.ts'
import { scene } from '../fleet/shared.ts'
import { countStatements } from './statements.ts'

const waiting = defineJob({ name: 'waiting', queue: 'waiting' })
const plain = defineJob({ name: 'plain', queue: 'waiting' })
const go = defineMessage({ name: 'go' })

const jobs = 10_000
const idleMs = 10_000
/** Of all of them together. If a worker kept each of them, that would be some megabytes. */
const mostBytes = 1_000_000
/** Whatever else the machine does only adds to a turn's time, so turns go on until the bound holds, or are over. */
const mostTurns = 12
const timesOfATurn = 40

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

function median(times: readonly number[]): number {
  return times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] ?? Number.NaN
}

describe.skipIf(inject('postgres') === undefined)('10,000 suspended jobs on PostgreSQL', () => {
  it('cost a worker no memory and no statement, and go on as soon as an ordinary job starts', async () => {
    const { errand } = await scene('postgres')
    const statements = countStatements()
    const began = new Map<string, number>()
    const worker = errand.work(
      {
        concurrency: 50,
        handlers: [
          handle(plain, (_, { job }) => void began.set(job.id, performance.now())),
          handle(waiting, async (_, ctx) => {
            if (ctx.run > 1) began.set(ctx.job.id, performance.now())
            await ctx.receive('go', go, { timeout: '30d' })
          }),
        ],
      },
      { signals: false },
    )
    await worker.ready
    const suspend = async (count: number): Promise<readonly string[]> => {
      const ids: string[] = []
      for (let from = 0; from < count; from += 500) {
        const some = Array.from({ length: 500 }, () => waiting.with(undefined))
        ids.push(...(await errand.dispatchMany(some)).map(({ id }) => id))
      }
      // How many are suspended is estimated if they are many; these two are exact.
      const areSuspended = async (): Promise<boolean> =>
        (await errand.queues.list()).every(({ ready, running }) => ready + running === 0)
      await until(areSuspended, { what: 'all of them are suspended', withinMs: 120_000, pause })
      return ids
    }
    const measureIdle = async (): Promise<{ readonly bytes: number; readonly statements: number }> => {
      // What the last jobs have left is told and forgotten.
      await sleep(2_000)
      const before = statements.total()
      await sleep(idleMs)
      collect()
      return { bytes: process.memoryUsage().heapUsed, statements: statements.total() - before }
    }
    // The first ones load and compile.
    await suspend(1_000)
    const few = await measureIdle()
    const ids = await suspend(jobs)
    const many = await measureIdle()
    expect(many.bytes - few.bytes).toBeLessThan(mostBytes)
    // In these seconds a worker does what it does at even intervals.
    expect(many.statements).toBeLessThanOrEqual(few.statements + 10)

    const startsAfter = async (act: () => Promise<string>): Promise<number> => {
      const sinceMs = performance.now()
      const id = await act()
      await until(() => began.has(id), { what: 'it has begun' })
      return (began.get(id) ?? Number.NaN) - sinceMs
    }
    const dispatchOne = async (): Promise<string> => (await errand.dispatch(plain)).id
    const left = [...ids]
    const sendOne = async (): Promise<string> => {
      const id = left.pop() ?? ''
      await errand.jobs.send(id, go, undefined)
      return id
    }
    let best = { ordinaryMs: 1, resumedMs: Number.POSITIVE_INFINITY }
    const ratio = (): number => best.resumedMs / best.ordinaryMs
    for (let turn = 0; turn < mostTurns && ratio() > 2; turn += 1) {
      const [ordinary, resumed]: [number[], number[]] = [[], []]
      for (let n = 0; n < timesOfATurn; n += 1) {
        ordinary.push(await startsAfter(dispatchOne))
        resumed.push(await startsAfter(sendOne))
      }
      const turnOf = { ordinaryMs: median(ordinary), resumedMs: median(resumed) }
      if (turnOf.resumedMs / turnOf.ordinaryMs < ratio()) best = turnOf
    }
    expect(ratio(), JSON.stringify(best)).toBeLessThanOrEqual(2)
    await worker.stop()
  })
})
