// Handlers that do harm.
import { expect } from 'vitest'
import type { AnyJob, Receipt } from '@errand/core'
import { scaleLimit, until } from '@errand/testkit'
import { openGate } from '../../fleet/app/ledger.ts'
import { pause } from '../../fleet/looks.ts'
import { held } from '../../fleet/app/jobs.ts'
import { carrying, deaf, greedy, rejecting, stuck, suicidal } from '../../fleet/app/hard-jobs.ts'
import { afterReturnMs } from '../../fleet/limits.ts'
import type { Fleet, StartOptions } from '../../fleet/fleet.ts'
import type { Member } from '../../fleet/member.ts'
import { story } from '../story.ts'
import type { Story } from '../story.ts'
import { expectTypes, hasBegun, isTaking, newName, readTypes } from './common.ts'

/** Starts a new worker whenever one has died, as a supervisor would, until the job has ended. */
async function superviseUntilEnded(
  fleet: Fleet,
  queue: string,
  receipt: Receipt<unknown>,
  options: StartOptions,
): Promise<readonly Member[]> {
  const workers: Member[] = []
  const hasEnded = async (): Promise<boolean> => (await fleet.log.get(receipt.id))?.finishedAt !== undefined
  for (;;) {
    const worker = await fleet.start({ ...options, env: { ...options.env, QUEUES: queue } })
    workers.push(worker)
    await until(async () => worker.ended !== undefined || (await hasEnded()), { withinMs: 60_000, pause })
    if (worker.ended === undefined) return workers
  }
}

/** The job ends its worker twice. Then it has failed, and the next worker stays up. */
async function failsAfterItsCrashes(
  fleet: Fleet,
  job: typeof greedy,
  ends: readonly (number | string)[],
  says: RegExp | undefined,
  options: StartOptions = {},
): Promise<void> {
  const queue = newName('risky')
  const receipt = await fleet.errand.dispatch(job, {}, { queue })
  const workers = await superviseUntilEnded(fleet, queue, receipt, { ...options, expects: ends })
  const dead = workers.slice(0, -1)
  expect(dead.map(({ ended }) => ends.includes(ended ?? ''))).toEqual([true, true])
  if (says) for (const worker of dead) expect(worker.output()).toMatch(says)
  await expectTypes(fleet, receipt.id, ['dispatched', 'started', 'lost', 'started', 'lost', 'failed'])
  const after = await fleet.errand.dispatch(carrying, { text: 'all is well' }, { queue })
  await fleet.recovers('the worker after it runs other jobs', afterReturnMs, async () =>
    (await readTypes(fleet, after.id)).includes('succeeded'),
  )
}

async function failed(fleet: Fleet, job: AnyJob & typeof stuck, queue: string): Promise<Receipt<unknown>> {
  const receipt = await fleet.errand.dispatch(job, {}, { queue })
  await expect(fleet.errand.result(receipt, { timeout: scaleLimit(30_000) })).rejects.toMatchObject({
    code: 'E_RESULT_FAILED',
    cause: { name: 'TimeoutError' },
  })
  return receipt
}

export const handlerStories: readonly Story[] = [
  story('out of memory', (fleet) =>
    failsAfterItsCrashes(fleet, greedy, ['SIGABRT', 134], /heap out of memory/, {
      execArgv: ['--max-old-space-size=40'],
    }),
  ),
  story('unhandled rejection', (fleet) =>
    failsAfterItsCrashes(fleet, rejecting, [1], /nobody waits for this promise/),
  ),
  story('kills its process', (fleet) => failsAfterItsCrashes(fleet, suicidal, [1], undefined)),

  story('never settles', async (fleet) => {
    const queue = newName('stuck')
    const env = { QUEUES: queue, CONCURRENCY: '3', GRACE_MS: '3000' }
    const worker = await fleet.start({ env })
    const receipt = await failed(fleet, stuck, queue)
    const errors = (await fleet.log.readHistory(receipt.id)).filter(({ type }) => type === 'errored')
    expect(errors).toHaveLength(2)
    // It runs as many jobs at a time as it has slots: no run that never settled holds one of them.
    const gate = newName('gate')
    const jobs = await fleet.errand.dispatchMany([1, 2, 3].map(() => held.with({ gate }, { queue })))
    await fleet.recovers('all of its slots are free', afterReturnMs, async () => {
      const states = await Promise.all(jobs.map(async ({ id }) => (await fleet.log.get(id))?.state))
      return states.every((state) => state === 'running')
    })
    openGate(`${fleet.ledger}.${gate}`)
    expect(await isTaking(fleet, worker.id)).toBe(true)
  }),

  story('ignores the signal', async (fleet) => {
    const queue = newName('deaf')
    const gate = newName('gate')
    // A fifth of the grace is left for the settlement before the log calls the run lost: a second.
    await fleet.start({ env: { QUEUES: queue, GRACE_MS: '5000' } })
    const receipt = await fleet.errand.dispatch(deaf, { gate }, { queue })
    const sinceMs = performance.now()
    await fleet.recovers(
      'it is waited for no longer',
      afterReturnMs,
      async () => (await fleet.log.get(receipt.id))?.state === 'failed',
      sinceMs,
    )
    const timedOut = ['dispatched', 'started', 'errored', 'failed']
    await expectTypes(fleet, receipt.id, timedOut)
    openGate(`${fleet.ledger}.${gate}`)
    const next = await fleet.errand.dispatch(deaf, { gate }, { queue })
    await hasBegun(fleet, next.id)
    await fleet.errand.result(next, { timeout: scaleLimit(20_000) })
    await expectTypes(fleet, receipt.id, timedOut)
  }),
]
