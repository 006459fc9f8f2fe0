// Worker processes that die, freeze, block and stop.
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import type { Receipt } from '@errand/core'
import { readDispatched, scaleLimit, until } from '@errand/testkit'
import { hog, once } from '../../fleet/app/jobs.ts'
import { openGate } from '../../fleet/app/ledger.ts'
import { freeze } from '../../fleet/freeze.ts'
import { pause } from '../../fleet/looks.ts'
import { held, heldOnce, paid } from '../../fleet/app/jobs.ts'
import { readEffects } from '../../fleet/app/effects.ts'
import { afterCrashMs, afterReturnMs, leaseMs } from '../../fleet/limits.ts'
import type { Fleet } from '../../fleet/fleet.ts'
import { story } from '../story.ts'
import type { Story } from '../story.ts'
import { present } from '../makers.ts'
import { diesAt, expectTypes, findRunner, hasBegun, isTaking, newName, ranAgain, withEnd } from './common.ts'

async function noneHeldBy(fleet: Fleet, dead: { readonly id: string; readonly atMs: number }): Promise<void> {
  await fleet.recovers(
    'its jobs are free again',
    afterCrashMs,
    async () => (await fleet.heldBy(dead.id)).length === 0,
    dead.atMs,
  )
}

/** Every completed job has its row, and no job has two. */
async function effectsAreThereOnce(fleet: Fleet): Promise<void> {
  const rows = await readEffects(fleet.place.log)
  const succeeded = await readDispatched(fleet.log, { name: paid.name, state: 'succeeded' })
  expect(rows.toSorted()).toEqual(succeeded.toSorted())
}

export const workerStories: readonly Story[] = [
  story('worker killed', async (fleet) => {
    const gate = newName('gate')
    const job = await fleet.errand.dispatch(held, { gate })
    const interrupted = await fleet.errand.dispatch(heldOnce, { gate: 'never' })
    const [runner, other] = [await findRunner(fleet, job.id), await findRunner(fleet, interrupted.id)]
    const dead = [...new Set([runner, other])]
    for (const worker of dead) worker.signal('SIGKILL')
    const sinceMs = performance.now()
    await fleet.recovers(
      'its job runs again',
      afterCrashMs,
      () => ranAgain(fleet, [job.id, interrupted.id], runner.id),
      sinceMs,
    )
    openGate(`${fleet.ledger}.${gate}`)
    await fleet.errand.result(job, { timeout: scaleLimit(20_000) })
    await expectTypes(fleet, job.id, ['dispatched', 'started', 'lost', 'started', 'succeeded'])
    await expectTypes(fleet, interrupted.id, ['dispatched', 'started', 'lost', 'failed'])
  }),

  story('dies with a claim', async (fleet) => noneHeldBy(fleet, await diesAt(fleet, 'claimed'))),

  story('dies before the settle', async (fleet) => {
    const receipts = await fleet.errand.dispatchMany(Array.from({ length: 40 }, (_, n) => paid.with({ n })))
    await fleet.errand.dispatchMany(Array.from({ length: 20 }, (_, n) => once.with({ n, ms: 5 })))
    await noneHeldBy(fleet, await diesAt(fleet, 'settling'))
    for (const receipt of receipts) await fleet.errand.result(receipt, { timeout: scaleLimit(60_000) })
    // A row and its completion commit together, while other jobs go on.
    await until(
      () =>
        effectsAreThereOnce(fleet).then(
          () => true,
          () => false,
        ),
      { pause, withinMs: 5_000 },
    ).catch(() => effectsAreThereOnce(fleet))
  }),

  story('dies after the settle', async (fleet) => noneHeldBy(fleet, await diesAt(fleet, 'settled'))),

  story('reply of a settle lost', async (fleet) => {
    await withEnd(async (atTheEnd) => {
      const { env, log } = await fleet.place.openThrough(atTheEnd)
      const queue = newName('lost')
      const worker = await fleet.start({ env: { ...env, QUEUES: queue } })
      // A settle without an idle connection opens one, and cannot do so through the black hole: then try again.
      const settled = async (gate: string): Promise<Receipt<unknown> | undefined> => {
        const job = await fleet.errand.dispatch(held, { gate }, { queue })
        await hasBegun(fleet, job.id)
        present(log).blackHole('down')
        openGate(`${fleet.ledger}.${gate}`)
        const hasEnded = async (): Promise<boolean> => (await fleet.log.get(job.id))?.finishedAt !== undefined
        const isIn = await until(hasEnded, { withinMs: leaseMs / 2, pause }).then(
          () => true,
          () => false,
        )
        present(log).heal()
        await fleet.errand.result(job, { timeout: scaleLimit(20_000) })
        return isIn ? job : undefined
      }
      const gates = Array.from({ length: 5 }, () => newName('gate'))
      const [gate = ''] = gates
      let job: Receipt<unknown> | undefined
      for (const each of gates) job ??= await settled(each)
      const sinceMs = performance.now()
      await fleet.recovers('the worker takes jobs', afterReturnMs, () => isTaking(fleet, worker.id), sinceMs)
      const next = await fleet.errand.dispatch(held, { gate }, { queue })
      await fleet.errand.result(next, { timeout: scaleLimit(20_000) })
      worker.signal('SIGTERM')
      expect(await worker.exited, worker.output()).toBe(0)
      await expectTypes(fleet, present(job).id, ['dispatched', 'started', 'succeeded'])
    })
  }),

  story('frozen past its lease', async (fleet) => {
    const gate = newName('gate')
    const job = await fleet.errand.dispatch(held, { gate })
    const frozen = await findRunner(fleet, job.id)
    await freeze(frozen, fleet.place.log)
    const sinceMs = performance.now()
    await fleet.recovers(
      'its job runs elsewhere',
      afterCrashMs,
      () => ranAgain(fleet, [job.id], frozen.id),
      sinceMs,
    )
    openGate(`${fleet.ledger}.${gate}`)
    await fleet.errand.result(job, { timeout: scaleLimit(20_000) })
    frozen.signal('SIGCONT')
    const settlesLate = async (): Promise<boolean> =>
      (await fleet.log.readHistory(job.id)).some(
        ({ type, worker }) => type === 'fenced' && worker === frozen.id,
      )
    await fleet.recovers('its late result is fenced', afterReturnMs, settlesLate)
    await fleet.takesAgain()
  }),

  story('event loop blocked', async (fleet) => {
    const queue = newName('hog')
    const longMs = 5_000
    const env = { QUEUES: queue, LEASE_MS: String(longMs) }
    // The second worker only sweeps: if the lease ran out, its sweep would take the job away.
    await Promise.all([fleet.start({ env }), fleet.start({ env })])
    const job = await fleet.errand.dispatch(hog, { ms: 2 * longMs }, { queue })
    await fleet.errand.result(job, { timeout: scaleLimit(60_000) })
    await expectTypes(fleet, job.id, ['dispatched', 'started', 'succeeded'])
  }),

  story('SIGTERM', async (fleet) => {
    const gate = newName('gate')
    const job = await fleet.errand.dispatch(held, { gate })
    const stopped = await findRunner(fleet, job.id)
    stopped.signal('SIGTERM')
    const sinceMs = performance.now()
    expect(await stopped.exited, stopped.output()).toBe(0)
    await fleet.recovers(
      'what it could not end runs elsewhere',
      afterReturnMs,
      () => ranAgain(fleet, [job.id], stopped.id),
      sinceMs,
    )
    openGate(`${fleet.ledger}.${gate}`)
    await fleet.errand.result(job, { timeout: scaleLimit(20_000) })
    await expectTypes(fleet, job.id, ['dispatched', 'started', 'released', 'started', 'succeeded'])
  }),

  story('second SIGTERM', async (fleet) => {
    const gate = newName('gate')
    const queue = `twice-${gate}`
    const worker = await fleet.start({ env: { QUEUES: queue, GRACE_MS: '30000' }, expects: [143] })
    const job = await fleet.errand.dispatch(held, { gate }, { queue })
    await hasBegun(fleet, job.id)
    await fleet.start({ env: { QUEUES: queue } })
    process.kill(worker.pid, 'SIGTERM')
    const stopping = async (): Promise<boolean> =>
      (await fleet.errand.workers.list()).some(({ id, taking }) => id === worker.id && !taking)
    await until(stopping, { what: 'it has heard the first one', pause })
    // Signals within a second are one. Not longer on a slow machine: the grace of the first one is not longer there either.
    await sleep(1_050)
    process.kill(worker.pid, 'SIGTERM')
    expect(await worker.exited, worker.output()).toBe(143)
    await endsElsewhere(fleet, { job, gate, stopped: worker.id, what: 'its job runs again' })
  }),
]

/** The worker has just exited. The job that it released runs again, and ends once its gate is open. */
async function endsElsewhere(
  fleet: Fleet,
  { job, gate, stopped, what }: { job: Receipt<unknown>; gate: string; stopped: string; what: string },
): Promise<void> {
  const sinceMs = performance.now()
  await fleet.recovers(what, afterReturnMs, () => ranAgain(fleet, [job.id], stopped), sinceMs)
  openGate(`${fleet.ledger}.${gate}`)
  await fleet.errand.result(job, { timeout: scaleLimit(20_000) })
  await expectTypes(fleet, job.id, ['dispatched', 'started', 'released', 'started', 'succeeded'])
}
