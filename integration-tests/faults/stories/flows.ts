// Flows, and jobs with steps, that meet a fault.
import { expect } from 'vitest'
import { batch } from '@errand/core'
import { scaleLimit, until } from '@errand/testkit'
import { part } from '../../fleet/app/flow-jobs.ts'
import { readEffects } from '../../fleet/app/effects.ts'
import { readStepLines } from '../../fleet/app/step-lines.ts'
import { afterCrashMs, afterReturnMs } from '../../fleet/limits.ts'
import { lasts, pause } from '../../fleet/looks.ts'
import type { Fleet } from '../../fleet/fleet.ts'
import { note, steppedJob } from '../../simulation/step-parts.ts'
import type { Part } from '../../simulation/step-plan.ts'
import { present } from '../makers.ts'
import { story } from '../story.ts'
import type { Story } from '../story.ts'
import { diesAt, expectTypes, newName, ranAgain } from './common.ts'

const step: Part = { does: 'step', ms: 0, throwsIn: undefined, diesIn: undefined }
const downMs = 15_000

/** In which runs a step has acted. */
function runsOf({ ledger }: Fleet, job: string, name: string): readonly number[] {
  return readStepLines(ledger).acts.flatMap((act) => (act.job === job && act.name === name ? [act.run] : []))
}

export const flowStories: readonly Story[] = [
  story('dies before a step is kept', async (fleet) => {
    const QUEUES = newName('steps')
    const parts: readonly Part[] = [step, step, { does: 'inside' }]
    const job = await fleet.errand.dispatch(steppedJob, { parts }, { queue: QUEUES })
    const dead = await diesAt(fleet, 'remembering', { QUEUES })
    await fleet.start({ env: { QUEUES } })
    const runsAgain = (): Promise<boolean> => ranAgain(fleet, [job.id], dead.id)
    await fleet.recovers('its job runs again', afterCrashMs, runsAgain, dead.atMs)
    await fleet.errand.result(job, { timeout: scaleLimit(20_000) })
    expect(runsOf(fleet, job.id, 'part-0')).toEqual([1, 2])
    expect(runsOf(fleet, job.id, 'part-1')).toEqual([2])
    const rows = await readEffects(fleet.place.log)
    expect(rows.filter((row) => row === `${job.id}/part-2`)).toHaveLength(1)
    await expectTypes(fleet, job.id, ['dispatched', 'started', 'lost', 'started', 'succeeded'])
  }),

  story('dies while it adds to a flow', async (fleet) => {
    const QUEUES = newName('adds')
    const adding = part.with({ n: 0, ms: 0, failures: 0, adds: 3 }, { queue: QUEUES })
    const flow = await fleet.errand.dispatch(batch([adding]))
    await diesAt(fleet, 'appending', { QUEUES })
    await diesAt(fleet, 'appended', { QUEUES })
    await fleet.start({ env: { QUEUES } })
    const info = await fleet.errand.result(flow, { timeout: scaleLimit(30_000) })
    expect(info).toMatchObject({ total: 4, succeeded: 4 })
    const members = await fleet.errand.flows.members(flow.id)
    expect(new Set(members.map(({ id }) => id)).size).toBe(4)
    const [first] = members
    // After its second crash a job waits a moment.
    const crashes = ['started', 'lost', 'started', 'lost', 'due']
    await expectTypes(fleet, present(first).id, ['dispatched', ...crashes, 'started', 'succeeded'])
    await expectTypes(fleet, flow.id, ['flow_dispatched', 'flow_ended'])
  }),

  story('database down over waits', async (fleet) => {
    const dispatch = async (waits: Part): Promise<readonly string[]> => {
      const request = steppedJob.with({ parts: [step, waits, step] }, { queue: 'work' })
      return (await fleet.errand.dispatchMany(Array.from({ length: 10 }, () => request))).map(({ id }) => id)
    }
    const receivers = await dispatch({ does: 'receive', timeoutMs: 600_000 })
    // Their time is over while the log cannot be reached.
    const sleepers = await dispatch({ does: 'sleep', ms: downMs / 2 })
    const all = [...receivers, ...sleepers]
    const countIn = async (ids: readonly string[], state: string): Promise<number> => {
      const jobs = await Promise.all(ids.map((id) => fleet.log.get(id)))
      return jobs.filter((job) => job?.state === state).length
    }
    await until(async () => (await countIn(all, 'suspended')) === all.length, {
      what: 'all of them are suspended',
      pause,
    })
    const postgres = present(fleet.place.server)
    await postgres.kill()
    await lasts(downMs)
    await postgres.start()
    const sinceMs = performance.now()
    const goOn = async (): Promise<boolean> => (await countIn(sleepers, 'succeeded')) === sleepers.length
    await fleet.recovers('jobs whose time is over have gone on', afterReturnMs, goOn, sinceMs)
    expect(await countIn(receivers, 'suspended')).toBe(receivers.length)
    for (const id of receivers) await fleet.errand.jobs.send(id, note, { id })
    const received = async (): Promise<boolean> =>
      (await countIn(receivers, 'succeeded')) === receivers.length
    await fleet.recovers('jobs that wait for a message have gone on', afterReturnMs, received)
    for (const id of all) {
      expect(runsOf(fleet, id, 'part-0')).toEqual([1])
      expect(runsOf(fleet, id, 'part-2')).toEqual([2])
      const wait = ['suspended', ...(receivers.includes(id) ? ['received'] : []), 'resumed']
      await expectTypes(fleet, id, ['dispatched', 'started', ...wait, 'started', 'succeeded'])
    }
  }),
]
