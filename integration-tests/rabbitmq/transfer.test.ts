import { execFile } from 'node:child_process'
import type { PromiseWithChild } from 'node:child_process'
import { promisify } from 'node:util'
import { describe, expect, inject, test } from 'vitest'
import { lanes } from '@errand/core/ports'
import type { TransferStatus } from '@errand/core'
import { scaleLimit, until } from '@errand/testkit'
import { work } from '../fleet/app/jobs.ts'
import { readLedger } from '../fleet/app/ledger.ts'
import { allEnded, pause } from '../fleet/looks.ts'
import { startMember, startWorker } from '../fleet/member.ts'
import { logs, scene } from '../fleet/shared.ts'
import type { Scene } from '../fleet/scene.ts'
import { brokerQueue, driverUrl, findLane } from './broker.ts'

const url = inject('amqp')
const run = promisify(execFile)
const bin = new URL('../../packages/errand/src/bin.ts', import.meta.url).pathname
const integrationTests = new URL('..', import.meta.url).pathname

const inFlight = 5_000
/**
 * Two workers with twenty slots take at least eight seconds for the jobs: longer than dispatchers may take to hear of a move.
 * On a busy machine the command also takes long to start, and jobs must be left by then.
 */
const jobMs = Math.min(150, scaleLimit(30))

/** The real command, in a process of its own. */
function command(env: Scene['env'], ...words: readonly string[]): PromiseWithChild<{ stdout: string }> {
  return run(process.execPath, [bin, 'transfer', ...words], {
    cwd: integrationTests,
    env: { ...process.env, ...env },
  })
}

/** Resolves with what it reports at its end. */
async function transfer(to: string, env: Scene['env']): Promise<TransferStatus> {
  const { stdout } = await command(env, '--to', to, '--by', 'mia', '--json')
  return JSON.parse(stdout) as TransferStatus
}

async function dispatchAll({ errand }: Scene): Promise<void> {
  for (let from = 0; from < inFlight; from += 500) {
    await errand.dispatchMany(
      Array.from({ length: 500 }, (_, index) => work.with({ n: from + index, failures: 0, ms: jobMs })),
    )
  }
}

/** A message carries several tickets. */
async function messagesAt(broker: string, prefix: string): Promise<number> {
  const waiting = await Promise.all(
    lanes.map(async (lane) => (await findLane(broker, brokerQueue(prefix, 'work', lane)))?.waiting ?? 0),
  )
  return waiting.reduce((sum, each) => sum + each, 0)
}

describe.skipIf(url === undefined || !logs.includes('postgres'))('a running system', () => {
  test('moves from RabbitMQ to the database and back with 5,000 jobs in flight: every job runs once', async () => {
    const broker = String(url)
    const on = await scene('rabbitmq')
    const { prefix } = on
    const rabbit = driverUrl(broker, prefix)
    const ready = async (): Promise<number> =>
      (await on.log.queues()).find(({ name }) => name === 'work')?.ready ?? 0
    const drivers = async (): Promise<readonly string[]> =>
      (await on.errand.workers.list()).filter(({ alive }) => alive).flatMap((worker) => worker.drivers)

    const begins = (who: string): Promise<unknown> =>
      until(async () => (await on.log.transfer())?.by === who, { what: 'the move has begun', pause })

    await dispatchAll(on)
    const [dispatcher, ...workers] = await Promise.all([
      startMember('dispatcher', { ...on.env, JOBS: 'plain', EVERY_MS: '20' }),
      ...Array.from({ length: 2 }, () => startWorker(on.env)),
    ])
    await until(() => readLedger(on.ledger).length > 0, { what: 'work is under way', pause })
    const moving = transfer('database', on.env)
    await begins('mia')
    expect(await messagesAt(broker, prefix)).toBeGreaterThan(0)
    expect(await ready()).toBeGreaterThan(inFlight / 5)
    expect(await moving).toMatchObject({
      phase: 'moved',
      to: 'database',
      behind: [],
      left: [],
    })
    expect(await drivers()).toEqual(['database', 'database'])
    // Who looks at the log and has no answer in time still publishes there: beside other programs, for a moment. Those jobs
    // run from the log.
    const mostLate = inFlight / 40
    expect(await messagesAt(broker, prefix)).toBeLessThan(mostLate)

    await dispatchAll(on)
    expect(await messagesAt(broker, prefix)).toBeLessThan(mostLate)
    const interrupted = command(on.env, '--to', rabbit, '--by', 'ada')
    await begins('ada')
    expect(await ready()).toBeGreaterThan(inFlight / 5)
    interrupted.child.kill('SIGINT')
    await expect(interrupted).rejects.toMatchObject({ code: 130 })
    expect((await command(on.env, '--status')).stdout).toContain('moving: database → rabbitmq')
    expect(await transfer(rabbit, on.env)).toMatchObject({
      phase: 'moved',
      from: 'database',
      behind: [],
      left: [],
    })
    const [place] = await drivers()
    expect(place).toContain(prefix)
    expect(await drivers()).toEqual([place, place])

    dispatcher.signal('SIGTERM')
    expect(await dispatcher.exited, dispatcher.output()).toBe(0)
    const dispatched = [...dispatcher.output().matchAll(/^dispatched /gm)].length
    expect(dispatched).toBeGreaterThan(100)
    await allEnded(on.log, 60_000)
    expect(await on.violations()).toBe('')
    const runs = readLedger(on.ledger).filter(({ mark }) => mark === 'ended')
    expect(runs.length).toBe(2 * inFlight + dispatched)
    expect(new Set(runs.map(({ jobId }) => jobId)).size).toBe(runs.length)
    for (const worker of workers) {
      worker.signal('SIGTERM')
      expect(await worker.exited, worker.output()).toBe(0)
      expect(worker.output()).not.toMatch(/"level":(?:50|60)/)
    }
  })
})
