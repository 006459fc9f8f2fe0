import { describe, expect, test } from 'vitest'
import { scaleLimit, until } from '@errand/testkit'
import type { Errand } from '@errand/core'
import { ordered, work } from './app/jobs.ts'
import { readLedger } from './app/ledger.ts'
import { allEnded, collectIds, pause } from './looks.ts'
import { freeze } from './freeze.ts'
import { startWorker } from './member.ts'
import { logs, scene } from './shared.ts'

const jobs = 5_000
const keys = 100

/** A job in seven fails once, and one in fifty twice; a part has ordering keys. */
async function dispatchAll(errand: Errand): Promise<void> {
  for (let from = 0; from < jobs; from += 500) {
    await errand.dispatchMany(
      Array.from({ length: 500 }, (_, index) => {
        const n = from + index
        const failures = n % 50 === 0 ? 2 : n % 7 === 0 ? 1 : 0
        return ordered.with({ n, key: `key-${n % keys}`, failures, ms: n % 4 })
      }),
    )
  }
}

describe.each(logs)('four worker processes on %s', (name) => {
  test('one killed with -9, one frozen, one stopped: 5,000 jobs over 100 keys keep every promise', async () => {
    const { errand, env, ledger, log, url, violations } = await scene(name)
    const [killed, frozen, stopped, steady] = await Promise.all(
      Array.from({ length: 4 }, () => startWorker(env)),
    )
    const dispatched = dispatchAll(errand)
    const ended = (): number => readLedger(ledger).filter((line) => line.mark === 'ended').length

    await until(() => ended() > 500, { what: 'work is under way', withinMs: 60_000, pause })
    killed!.signal('SIGKILL')
    await freeze(frozen!, url)
    await until(() => ended() > 1_000, { what: 'the others go on', withinMs: 60_000, pause })
    stopped!.signal('SIGTERM')
    expect(await stopped!.exited, stopped!.output()).toBe(0)
    await until(async () => (await lostBy(log, frozen!.id)) > 0, {
      what: 'the frozen worker has lost its claims',
      withinMs: 60_000,
      pause,
    })
    frozen!.signal('SIGCONT')
    await dispatched
    await allEnded(log, 90_000)
    steady!.signal('SIGTERM')
    expect(await steady!.exited, steady!.output()).toBe(0)

    expect(await violations()).toBe('')
    expect((await collectIds(errand.jobs.list({ state: 'succeeded' }))).size).toBe(jobs)
  })
})

async function lostBy(log: Awaited<ReturnType<typeof scene>>['log'], worker: string): Promise<number> {
  let lost = 0
  let after: string | undefined
  for (;;) {
    const { events, next } = await log.read({ after, limit: 1_000 })
    lost += events.filter((event) => event.type === 'lost' && event.worker === worker).length
    if (events.length < 1_000) return lost
    after = next
  }
}

describe.each(logs)('one worker process on %s', (name) => {
  test('SIGTERM with running jobs: they end, none is lost, the process exits 0', async () => {
    const { errand, env, ledger, violations } = await scene(name)
    const receipts = await errand.dispatchMany(
      Array.from({ length: 20 }, (_, n) => work.with({ n, failures: 0, ms: 300 })),
    )
    const first = await startWorker(env)
    await until(() => readLedger(ledger).length > 0, { what: 'a handler has begun' })
    first.signal('SIGTERM')
    expect(await first.exited, first.output()).toBe(0)
    const begun = readLedger(ledger)
    expect(begun.filter((line) => line.mark === 'ended').length).toBe(
      begun.filter((line) => line.mark === 'began').length,
    )

    await startWorker(env)
    await Promise.all(receipts.map((receipt) => errand.result(receipt, { timeout: scaleLimit(90_000) })))
    expect(await violations()).toBe('')
  })
})
