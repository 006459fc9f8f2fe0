import { z } from 'zod'
import { defineJob, defineSchedule, handle } from '../../src/index.ts'
import type { JobHandler, Tick, Worker } from '../../src/index.ts'
import { virtualClock } from '../../src/testing/virtual-clock.ts'
import type { VirtualClock } from '../../src/testing/virtual-clock.ts'
import { stage } from '../worker/stage.ts'
import type { Stage } from '../worker/stage.ts'

export const hourMs = 3_600_000
export const closeDay = defineJob({ name: 'close-day', payload: z.object({ day: z.string() }) })
export const chore = defineJob({ name: 'chore', timeout: '9h' })

export const closeDays = defineSchedule({
  name: 'close-days',
  job: closeDay,
  cron: '30 2,4 * * *',
  zone: 'Europe/Berlin',
  payload: ({ at }) => ({ day: at.toISOString().slice(0, 13) }),
})
export const hourly = defineSchedule({ name: 'hourly', job: chore, every: '1h' })

interface Scene extends Stage {
  readonly clock: VirtualClock
  /** The ticks of the jobs that ran, in order. */
  readonly ticks: (Tick | undefined)[]
  /** Handles chores by noting their ticks. */
  readonly note: JobHandler
  /** Stops a worker that runs nothing. */
  stop(worker: Worker): Promise<void>
}

export function scene(): Scene {
  const clock = virtualClock()
  const ticks: (Tick | undefined)[] = []
  const note = handle(chore, (_, { tick }) => void ticks.push(tick))
  const stop = async (worker: Worker): Promise<void> => {
    const stopped = worker.stop()
    await clock.advance(0)
    await stopped
  }
  return Object.assign(stage({ clock }), { clock, ticks, note, stop })
}

/** To the minute. */
export const moments = (ticks: readonly (Tick | undefined)[]): (string | undefined)[] =>
  ticks.map((tick) => tick?.at.toISOString().slice(0, 16))
