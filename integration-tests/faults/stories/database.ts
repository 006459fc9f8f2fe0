// A job log that is away, slow, or locked by another transaction.
import { join } from 'node:path'
import { expect } from 'vitest'
import { scaleLimit, until } from '@errand/testkit'
import { work } from '../../fleet/app/jobs.ts'
import { openGate } from '../../fleet/app/ledger.ts'
import { lasts, pause } from '../../fleet/looks.ts'
import { held } from '../../fleet/app/jobs.ts'
import { afterReturnMs, leaseMs } from '../../fleet/limits.ts'
import type { Fleet } from '../../fleet/fleet.ts'
import { story } from '../story.ts'
import type { Story } from '../story.ts'
import { makers, present } from '../makers.ts'
import { expectTypes, hasBegun, newName, withEnd } from './common.ts'

const downMs = 60_000
const lockedMs = 20_000
/** A second until the first probe, and ten probes of one second: the time after which the system gives up a connection. */
const systemKeepAliveMs = 11_000

/** The fleet gives statements up soon. This worker waits as long as by default, so it has to notice the fault by itself. */
async function patientWorkerIsBack(fleet: Fleet): Promise<void> {
  await withEnd(async (atTheEnd) => {
    const { env, log } = await fleet.place.openThrough(atTheEnd)
    const queue = newName('patient')
    const ERRAND_LOG = (env['ERRAND_LOG'] ?? '').replace(/&statementTimeout=\d+/, '')
    expect(ERRAND_LOG).not.toBe(env['ERRAND_LOG'])
    const worker = await fleet.start({ env: { ...env, ERRAND_LOG, QUEUES: queue } })
    const dispatch = () => fleet.errand.dispatch(work, { n: 1, failures: 0, ms: 0 }, { queue })
    const first = await Promise.all(Array.from({ length: 20 }, dispatch))
    for (const job of first) await fleet.errand.result(job, { timeout: scaleLimit(20_000) })
    present(log).forget()
    const sinceMs = performance.now()
    const { id } = await dispatch()
    const hasEnded = async (): Promise<boolean> => (await fleet.log.get(id))?.finishedAt !== undefined
    await fleet.recovers('a patient worker has done a job', afterReturnMs, hasEnded, sinceMs)
    present(log).heal()
    worker.signal('SIGTERM')
    expect(await worker.exited, worker.output()).toBe(0)
  })
}

export const databaseStories: readonly Story[] = [
  story('database backends killed', (fleet) => makers['database backends killed'](fleet)),
  story('database connections torn', (fleet) => makers['database connections torn'](fleet)),

  story('database down', async (fleet) => {
    const gate = newName('gate')
    const job = await fleet.errand.dispatch(held, { gate })
    await hasBegun(fleet, job.id)
    const postgres = present(fleet.place.server)
    await postgres.kill()
    // Its handler ends while the log cannot be reached.
    openGate(`${fleet.ledger}.${gate}`)
    await lasts(downMs)
    await postgres.start()
    await fleet.takesAgain()
    await fleet.errand.result(job, { timeout: scaleLimit(20_000) })
    await expectTypes(fleet, job.id, ['dispatched', 'started', 'succeeded'])
  }),

  story('connections forgotten', async (fleet) => {
    await patientWorkerIsBack(fleet)
    const { log, broker } = fleet.place.proxies
    for (const proxy of broker ? [log, broker] : [log]) {
      await fleet.goesOn()
      present(proxy).forget()
      // A worker that waits for a ticket may hear nothing for long even if all is well. Only the system can tell it.
      if (fleet.place.kind.broker?.waitsInSilence && proxy === broker)
        await Promise.all([fleet.dispatchGoesOn(40), lasts(systemKeepAliveMs)])
      else await fleet.takesAgain()
      // The servers release locks and the like of dead connections by their own keep-alive.
      present(proxy).heal()
    }
    await fleet.takesAgain()
  }),

  story('database locked', (fleet) => makers['database locked'](fleet, lockedMs)),
  story('database slow', (fleet) => makers['database slow'](fleet, 0)),

  story('eight processes on one file', async (fleet) => {
    const env = { EVERY_MS: '5' }
    const saidBefore = [...fleet.workers, fleet.dispatcher].map((member) => ({
      member,
      length: member.output().length,
    }))
    const started = await Promise.all([
      ...Array.from({ length: 4 }, () => fleet.start()),
      ...Array.from({ length: 4 }, () => fleet.start({ program: 'dispatcher', env })),
    ])
    await fleet.goesOn(1_000)
    await fleet.takesAgain()
    for (const { member, length } of [...saidBefore, ...started.map((each) => ({ member: each, length: 0 }))])
      expect(member.output().slice(length)).not.toMatch(/SQLITE_BUSY|database is locked/)
  }),

  story('clock off', async (fleet) => {
    const queue = newName('clock')
    const shift = join(import.meta.dirname, '..', '..', 'fleet', 'app', 'shift.ts')
    const workers = await Promise.all(
      ['3600000', '-3600000'].map((CLOCK_OFF_MS) =>
        fleet.start({ env: { QUEUES: queue, CLOCK_OFF_MS }, execArgv: ['--import', shift] }),
      ),
    )
    const gate = newName('gate')
    const long = await fleet.errand.dispatchMany(
      Array.from({ length: 20 }, () => held.with({ gate }, { queue })),
    )
    for (const { id } of long) await hasBegun(fleet, id)
    const runners = new Set(await Promise.all(long.map(async ({ id }) => (await fleet.log.get(id))?.worker)))
    expect(runners).toEqual(new Set(workers.map(({ id }) => id)))
    await lasts(2 * leaseMs)
    openGate(`${fleet.ledger}.${gate}`)
    const delayed = await fleet.errand.dispatch(work, { n: 1, failures: 1, ms: 0 }, { queue, delay: '2s' })
    await fleet.errand.result(delayed, { timeout: scaleLimit(20_000) })

    const events = await fleet.log.readHistory(delayed.id)
    const [first = 0, second = 0] = events.filter(({ type }) => type === 'started').map(({ at }) => at)
    // The delay counts from the beginning of the dispatch, its event is from the end.
    expect(first - (events[0]?.at ?? 0)).toBeGreaterThanOrEqual(1_900)
    expect(second - (events[0]?.at ?? 0)).toBeLessThan(scaleLimit(10_000))
    await until(
      async () =>
        (await Promise.all(long.map(({ id }) => fleet.log.get(id)))).every(
          (job) => job?.state === 'succeeded',
        ),
      { pause },
    )
    for (const { id } of long) await expectTypes(fleet, id, ['dispatched', 'started', 'succeeded'])
  }),
]
